"""Files as a live channel: their packages, its start, and the ring that is arithmetic on both."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from media.channel.channel_faults import ChannelFaults, FaultTimer, FaultyRing
from media.channel.channel_ring import ChannelRing
from media.channel.deferred_version import DeferredVersion
from media.channel.join_watch import JoinWatch
from media.channel.next_version import NextVersion
from media.channel.playlist.playlist import Playlist
from media.channel.playlist.timeline import Timeline
from media.channel.span import SpanStart
from media.channel.spec import FileParts, FileSpec, Kept
from media.channel.start_and_end import first_start, until_end, until_startable
from media.faults import Fault
from media.kept import KeptStream
from media.ring import Ring
from media.stream import ENDED, Identity, Status, timestamp, tracks_of
from media.timing.backoff import Doubling
from media.troubles import HOPELESS
from media.watermark import Watermark

log = logging.getLogger(__name__)

LINGER: Final = 20.0  # seconds that a file which has ended is still served, so that its last segments can be fetched
ATTEMPTS: Final = 3  # tries at packaging files that change meanwhile, before a job gives up


class ChannelStream(KeptStream):
    """A channel. `open` packages the files as far as is needed, for the job; `begin` starts the channel's clock.

    `mark` is to be burnt into its picture. `kept`: it was on air before this gateway began, and goes on with the
    version that it had then; the version that is wanted takes over at a join.
    """

    kept_as = "channel"

    def __init__(self, identity: Identity, spec: FileSpec, parts: FileParts, kept: Kept | None = None) -> None:
        super().__init__(identity, parts.wall, Doubling(), Status.WAITING if kept else Status.LIVE)
        self._spec = spec
        self._parts = parts
        self._kept = kept
        self.mark: Watermark | None = None
        self._seen_mark: Watermark | None = None  # what the playlist before had, as long as the join is waited for
        self._playlist: Playlist | None = None  # after a fault: the one that broke, kept for what is known of it
        self._ring: ChannelRing | None = None
        self._before: ChannelRing | None = None  # the ring that went off air because a file changed meanwhile
        self._deferred = DeferredVersion(identity.id, self.take, self._keep_mark)
        self._join = JoinWatch(lambda: self.on_change(self), parts.wall)
        self._broken: asyncio.Future[Fault] = self._loop.create_future()
        self._stopping = False
        self._fault_timer = FaultTimer(parts.wall, self._healed)
        self._next_version = NextVersion(
            parts.library, identity.id, self._hand_over, lambda detail: self.warn("file-changed", detail)
        )
        self.on_phase: Callable[[str], None] = lambda _: None

    @property
    def ring(self) -> Ring | None:
        return self._ring

    @property
    def files(self) -> tuple[str, ...]:
        return self._spec.paths

    @property
    def pictures(self) -> frozenset[str]:
        marks = (self.mark, self._playlist.mark if self._playlist else None, self._seen())
        return frozenset(mark.sha256 for mark in marks if mark)

    async def open(self) -> None:
        """Returns when the channel can be played from where it has to begin. Raises `Fault`."""
        for left in reversed(range(ATTEMPTS)):
            # An old start counts the chunks of the version that was seen; after a change anything may follow.
            goes_on = self._kept if self._before is None else None
            playlist = self._playlist = self.version(goes_on.mark if goes_on else self.mark)
            try:
                await self._prepare(playlist)
                return
            except Fault as fault:
                await self.free()
                if not await playlist.stale():
                    raise
                if not left:
                    detail = "A file was changed while it was packaged, again and again; write it beside, then rename."
                    raise Fault("file-changed", detail, fault.phase, fault.item) from None

    async def _prepare(self, playlist: Playlist) -> None:
        await playlist.acquire(lambda stage: self.on_phase(stage))
        if self._kept and self._before is None:
            await playlist.complete()  # a channel that goes on with an old clock needs to know how long a round is
        await until_startable(playlist, self._spec, float(self._parts.ring.segment))
        playlist.quiet()

    def begin(self) -> None:
        """Puts the channel on air, and keeps it there until it ends."""
        self._play()
        self.keep()

    @property
    def is_open(self) -> bool:
        return self._ring is not None

    async def stop(self) -> None:
        self._stopping = True
        await self.unkeep()
        await self._next_version.stop()
        await self.free()
        if self.status not in ENDED:
            self.move(Status.STOPPED)

    def kill(self) -> None:
        """Kills the packagers (SIGKILL), unless others wait for them."""
        if self._playlist is not None:
            self._playlist.kill()

    async def reach(self, seconds: float) -> None:
        """Returns when this position can be played. Fault: `resource-busy` when the channel is not on air."""
        self._on_air()
        if self._playlist is not None:
            await self._playlist.reach(seconds)
            lasts = self._seconds
            if lasts is not None and seconds > lasts:
                detail = f"The channel lasts {lasts:.2f} s; there is no position {seconds:g}."
                raise Fault("limits-exceeded", detail, "seeking")

    def seek(self, seconds: float) -> None:
        """Goes on at the key frame before this position, at once; a paused channel shows the picture. Fault:
        `resource-busy`.
        """
        self._fault_timer.heal()
        self._on_air().seek(Fraction(seconds), self._parts.wall())
        self._swap()
        self.on_change(self)

    @property
    def loops(self) -> bool:
        """Whether the channel repeats."""
        return self._spec.loop

    def version(self, mark: Watermark | None) -> Playlist:
        """The channel's files with that watermark, as a playlist to be acquired and given to `take`."""
        return Playlist(self._parts.library, [Path(path) for path in self._spec.paths], mark)

    def take(self, version: Playlist) -> None:
        """Plays this playlist from a join on, when it is whole. It belongs to the channel from now on. Fault:
        `resource-busy`.
        """
        self._on_air()
        self._deferred.give_up()
        self.mark = version.mark
        self.forget_warning("watermark-kept")
        self._next_version.take(version, self._keep_mark)
        self.on_change(self)

    def _keep_mark(self, fault: Fault) -> None:
        """Keeps the watermark that viewers see, since the version that was to come has broken."""
        self.mark = self._playlist.mark if self._playlist else None
        self.warn("watermark-kept", f"The watermark could not be changed ({fault.detail}); the old one stays.")
        self.on_change(self)

    def pause(self) -> None:
        """Stands still until `resume`. Fault: `resource-busy`."""
        self._fault_timer.heal()
        self._on_air().pause()
        self.move(Status.PAUSED)

    def resume(self) -> None:
        """Goes on where it was paused. Fault: `resource-busy`."""
        self._fault_timer.heal()
        self._on_air().resume(self._parts.wall())
        self._swap()
        self.move(Status.LIVE)

    def misbehave(self, fault: ChannelFaults, seconds: float) -> None:
        """Misbehaves for so many seconds, then heals by itself. A fault that is under way ends. Fault:
        `resource-busy`.
        """
        ring = self._on_air()
        if ring.paused and self.status is Status.PAUSED:
            raise Fault("resource-busy", f"The channel {self.identity.name!r} is paused; resume it first.")
        self._fault_timer.begin(ring, fault, seconds)
        self.on_change(self)

    def _healed(self) -> None:
        self._swap()
        self.on_change(self)

    def _on_air(self) -> ChannelRing:
        if self.status in ENDED or (self._ring is not None and self._ring.ended):
            detail = f"The channel {self.identity.name!r} has ended; terminate it and start it again."
            raise Fault("resource-busy", detail)
        if self._ring is None or self._stopping:
            raise Fault("resource-busy", f"The channel {self.identity.name!r} is not on air; try again later.")
        return self._ring

    def grown(self) -> None:
        """Takes notice that there is more of a package on disk."""
        if self._ring is not None:
            self._ring.grown()

    def fail(self, fault: Fault) -> None:
        """Takes notice that a package broke while the channel was playing what there was of it."""
        if not self._broken.done():
            self._broken.set_result(fault)

    def wanted(self) -> dict[str, Any]:
        kept = self._keeps()
        if kept is None:
            raise RuntimeError("a channel that has not begun is not wanted yet")
        return {
            "identity": asdict(self.identity),
            "file": asdict(self._spec),
            "nextMark": asdict(self.mark) if self.mark else None,
            **kept.wanted(),
        }

    def _keeps(self) -> Kept | None:
        """What the store keeps, as of now, so that the channel can be begun again."""
        return Kept(self._ring.start, self._ring.paused, self._seen()) if self._ring is not None else self._kept

    def details(self) -> dict[str, Any]:
        playlist, ring = self._playlist, self._ring
        for code, detail in playlist.warnings.items() if playlist else ():
            self.warn(code, detail)
        if playlist is not None and playlist.stalled:
            self.warn("stalled", "The packager makes no progress; look at the disk that the file is on.")
        else:
            self.forget_warning("stalled")
        where = ring.position if ring else None
        item = ring.file if ring else 0
        head = playlist.head_of(item) if playlist else None
        return {
            **(tracks_of(head.init, head.recoded) if head else tracks_of(None)),
            **self._watermarks(),
            "loop": self._spec.loop,
            "duration": round(self._seconds, 3) if self._seconds else None,
            "round": where[0] if where else None,
            "position": round(float(where[1]), 3) if where else None,
            "item": item if where and len(self._spec.paths) > 1 else None,
            "fault": self._fault_timer.record(),
            **self.troubles.record(),
        }

    def _watermarks(self) -> dict[str, Any]:
        """The watermark that viewers see, and the one that they will see from a join on, if that is another."""
        seen, ring = self._seen(), self._ring
        coming = None
        if seen != self.mark:
            handed = self._playlist is not None and self._playlist.mark == self.mark
            record = self.mark.record() if self.mark else {"file": None}
            coming = record | {"at": timestamp(ring.joins_at) if ring and handed else None}
        return {"watermark": seen.record() if seen else None, "nextWatermark": coming}

    def _seen(self) -> Watermark | None:
        playlist, ring = self._playlist, self._ring
        if playlist is None or ring is None:
            return self._kept.mark if self._kept else self.mark
        plays = ring.playing is playlist.timeline(self._parts.ring.segment, self)
        return playlist.mark if plays else self._seen_mark

    @property
    def _seconds(self) -> float | None:
        """How long a round is, of the files that are on air, even if other files wait for their turn."""
        length = self._ring.length if self._ring is not None else None
        return float(length) if length else self._playlist.seconds if self._playlist is not None else None

    def _play(self) -> None:
        """Makes the ring. From here on the channel is arithmetic."""
        playlist = self._playlist
        assert playlist is not None
        loop = playlist.timeline(self._parts.ring.segment, self)
        kind = FaultyRing if self._parts.fault_injection else ChannelRing
        files = playlist.files(self._parts.library.disk)
        self._ring = kind(loop, files, self._begins(loop), self._parts.clock, self._parts.ring, self._spec.loop)
        self._ring.recent = self._parts.recent
        if self._kept is not None and self._kept.paused:
            self._ring.pause()
        self._broken = self._loop.create_future()
        self._next_version.follow(playlist, self._spec.loop)

    def _begins(self, loop: Timeline) -> SpanStart:
        """Where the channel begins, or goes on."""
        now, wall = self._parts.clock(), self._parts.wall()
        before, self._before = self._before, None
        if before is not None:
            return before.after(loop, wall)
        return self._kept.resumed(now, wall) if self._kept is not None else first_start(self._spec, loop, now, wall)

    def _hand_over(self, new: Playlist) -> None:
        """Plays another version of the files, `new`, from the next join on."""
        before = self._seen_mark, self._playlist
        self._seen_mark, self._playlist = self._seen(), new
        try:
            self._swap()
        except BaseException:  # its files cannot be opened just now
            self._seen_mark, self._playlist = before
            raise
        self._next_version.follow(new, self._spec.loop)
        self.forget_warning("file-changed")
        self.on_change(self)

    def _swap(self) -> None:
        """Plays the newest playlist from the next join on, if it is not playing already."""
        ring, playlist = self._ring, self._playlist
        if ring is None or playlist is None or not playlist.whole or ring.paused or not self._spec.loop:
            return
        loop = playlist.timeline(self._parts.ring.segment, self)
        if ring.loop is not loop:
            ring.replace_at_join(loop, playlist.files(self._parts.library.disk))
            self._join.follow(ring)  # its start is another one then

    def delay(self, fault: Fault) -> float | None:
        """Seconds until the next attempt; None after what will not get better.

        A file that was changed while it was packaged is tried again, since it may change again.
        """
        return None if self._before is None and fault.code in HOPELESS else super().delay(fault)

    async def rest(self) -> bool:
        """Waits after the end of the files, for as long as the last segments can still be fetched."""
        await asyncio.sleep(LINGER)
        await self.stop()
        return False

    async def reopen(self) -> Fault | None:
        """Packages the files again if need be. Returns None when the channel is on air."""
        try:
            await self.open()
            self._play()
        except Fault as fault:
            await self.free()  # nothing is left after `open` itself
            self.note(fault)
            return fault
        self.move(Status.LIVE)
        if self._ring is not None and self._ring.paused:
            self.move(Status.PAUSED)
        if self._playlist is not None and self._playlist.mark != self.mark:
            mark = self.mark
            self._deferred.begin(lambda: self.version(mark))
        return None

    async def watch(self) -> Fault | None:
        """Why the channel went off air; None when it has ended as it should. A channel that repeats never ends."""
        playlist, ring = self._playlist, self._ring
        assert playlist is not None
        assert ring is not None
        name = f"end-{self.identity.id}"
        ends = [] if self._spec.loop else [self._loop.create_task(until_end(ring), name=name)]
        try:
            either: list[asyncio.Future[Any]] = [self._broken, *ends]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ends[0].cancel() if ends else None
        if not self._broken.done():
            return ends[0].result()  # None; what it failed by was no end
        fault = self._broken.result()
        self._before = ring if await playlist.stale() else None
        await self.free()
        self.note(fault)
        return fault

    async def free(self) -> None:
        """Closes the ring and gives the packages back."""
        self._fault_timer.heal()
        await self._deferred.stop()
        self._join.stop()
        self._kept = self._keeps()
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()
        if self._playlist is not None:
            await self._playlist.release()

    def note(self, fault: Fault) -> None:
        self.troubles.note(fault, self._parts.wall())
        log.warning("channel-fault", extra={"stream": self.identity.id, "code": fault.code, "phase": fault.phase})
