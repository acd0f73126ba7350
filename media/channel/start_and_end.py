"""Where a channel of files begins, what it waits for until then, and its end."""

from fractions import Fraction

from media.channel.channel_ring import ChannelRing
from media.channel.playlist.playlist import Playlist
from media.channel.playlist.timeline import Timeline
from media.channel.span import SpanStart, begun
from media.channel.spec import FileSpec
from media.faults import Fault


async def until_startable(playlist: Playlist, spec: FileSpec, segment: float) -> None:
    """Returns when the position at which the channel starts is packaged, and one segment (seconds) behind it.

    Raises `Fault`: `limits-exceeded` for a position that a channel that plays once does not have.
    """
    if not spec.start_at:
        return
    await playlist.reach(spec.start_at + segment)
    if playlist.whole and not spec.loop and spec.start_at >= playlist.seconds:
        detail = f"The channel lasts {playlist.seconds:.2f} s: it cannot start at {spec.start_at:g} s."
        raise Fault("limits-exceeded", detail, "opening")


def first_start(spec: FileSpec, loop: Timeline, now: float, wall: float) -> SpanStart:
    """The start of a channel that has not been on air: `now` on the channels' clock, `wall` the same as Unix time."""
    seconds = Fraction(spec.start_at)
    if loop.length is not None:
        seconds %= loop.length
    return begun(loop, loop.key_at(seconds) if seconds else 0, now, wall)


async def until_end(ring: ChannelRing) -> None:
    """Returns when the ring has ended. A ring that repeats never does."""
    while not ring.ended:
        await ring.wait(ring.head)
