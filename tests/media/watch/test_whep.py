"""How a stream's ring is fed to the worker that sends it by WebRTC: all of it, but no faster than it is read."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from media.chunk import Init, VideoTrack
from media.faults import Fault
from media.mp4 import fmp4
from media.mp4.fmp4 import Sample
from media.process import messages
from media.process.framing import MAX_BODY, Decoder
from media.process.messages import ChunkMade, Message, Order, StartTask, StopTask, TaskProgress
from media.process.workers import MAX_OUTGOING, OnMessage, Worker, Workers
from media.ring import LiveRing, RingLimits
from media.watch import whep
from media.watch.whep import Broadcasts, Offer, WhepSession

CHUNKS = 80
MEGABYTE = 1_000_000
OFFER = Offer("v=0", "127.0.0.1")


class Deaf(Worker):
    """A worker without a process: it reads when the test does, and is gone as soon as it is killed."""

    def __init__(self, task: str, on_message: OnMessage) -> None:
        super().__init__(task, on_message)
        self.connect(self._keep)

    def _keep(self, far_end: socket.socket) -> None:
        self.far_end = far_end.dup()

    def take_far_end(self) -> socket.socket:
        return self.far_end

    def kill(self) -> None:
        self.ended(-signal.SIGKILL)


class DeafWorkers:
    """Makes them, and knows the newest."""

    worker: Deaf

    def spawn(self, start: StartTask, on_message: OnMessage) -> Worker:
        self.worker = Deaf(start.task, on_message)
        return self.worker


def a_group(*sizes: int) -> LiveRing:
    """Chunks of so many bytes, of which only the first is independent, in pictures of a megabyte and what is left."""
    ring = LiveRing(RingLimits(max_bytes=1 << 30), lambda: 1_700_000_000.0)
    init = Init(b"an init", VideoTrack("avc1.64001f", 90_000, 640, 360), None)
    for number, size in enumerate(sizes):
        parts = [MEGABYTE] * (size // MEGABYTE) + [size % MEGABYTE]
        samples = [Sample((each + 1).to_bytes(4) + b"\x65" + bytes(each), 9000, number == 0, 0) for each in parts]
        ring.append(init, number * 9000, 9000, number == 0, fmp4.fragment(1, number, number * 9000, samples))
    assert sum(sizes) > MAX_OUTGOING
    return ring


async def read(far_end: socket.socket, last: int) -> list[Message]:
    """What the worker hears, up to the chunk that ends at `last`."""
    decoder, heard = Decoder(), list[Message]()
    while not (heard and isinstance(heard[-1], ChunkMade) and heard[-1].decode_time + heard[-1].duration == last):
        heard += await read_some(far_end, decoder)
    return heard


async def read_some(far_end: socket.socket, decoder: Decoder) -> list[Message]:
    """What there is to read."""
    far_end.setblocking(False)
    data = await asyncio.get_running_loop().sock_recv(far_end, 65536)
    assert data
    return [messages.decode(header, body) for header, body in decoder.feed(data)]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeafWorkers]:
    monkeypatch.setattr(whep, "FAREWELL", 0.1)
    for patience in ("ANSWER", "READ_LIMIT", "SILENT"):  # a machine that is slow to read here is no hung worker
        monkeypatch.setattr(whep, patience, 100.0)
    made = DeafWorkers()
    yield made
    made.worker.take_far_end().close()


def opening(workers: DeafWorkers, ring: LiveRing) -> tuple[Broadcasts, asyncio.Task[WhepSession]]:
    broadcasts = Broadcasts(cast(Workers, workers))
    return broadcasts, asyncio.create_task(broadcasts.open("yard", lambda: ring, OFFER))


async def test_a_group_of_pictures_beyond_what_may_wait_for_a_worker_comes_whole(workers: DeafWorkers) -> None:
    broadcasts, viewer = opening(workers, a_group(*[100_000] * CHUNKS))
    async with asyncio.timeout(60):
        await asyncio.wait({viewer}, timeout=0.1)  # nobody reads as yet
        heard = await read(workers.worker.take_far_end(), CHUNKS * 9000)
        assert not viewer.done()
        viewer.cancel()
        await broadcasts.close()
    assert sum(isinstance(each, ChunkMade) for each in heard) == CHUNKS
    assert [type(each).__name__ for each in heard[:3]] == ["Order", "InitMade", "ChunkMade"]


async def test_a_chunk_that_is_larger_than_what_may_wait_comes_whole(workers: DeafWorkers) -> None:
    sizes = [2 * MAX_OUTGOING, 200_000, 2 * MAX_OUTGOING, 100_000]  # a camera of 4K in the best quality, and then some
    broadcasts, viewer = opening(workers, a_group(*sizes))
    async with asyncio.timeout(60):
        await asyncio.wait({viewer}, timeout=0.1)  # nobody reads as yet
        heard = await read(workers.worker.take_far_end(), len(sizes) * 9000)
        assert not viewer.done()
        viewer.cancel()
        await broadcasts.close()
    assert [len(each.body) // 100_000 for each in heard if isinstance(each, ChunkMade)] == [83, 2, 83, 1]


async def test_a_chunk_that_fits_into_no_message_is_refused_and_ends_what_goes_on(workers: DeafWorkers) -> None:
    ring = a_group(200_000, MAX_BODY)
    broadcasts, viewer = opening(workers, ring)
    with pytest.raises(Fault, match="has ended"):
        await asyncio.wait_for(viewer, 60)
    await broadcasts.close()


async def test_a_worker_that_has_left_too_much_unread_is_killed_by_the_next_message() -> None:
    worker = Deaf("webrtc", lambda _: None)
    with worker.take_far_end():
        worker.send(ChunkMade(0, 9000, True, False, bytes(2 * MAX_OUTGOING)))
        assert not worker.gone.done()
        worker.send(StopTask())
        assert worker.gone.result() == -signal.SIGKILL


async def test_a_worker_that_does_not_read_what_waits_for_it_is_given_up(
    workers: DeafWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whep, "READ_LIMIT", 0.1)
    broadcasts, viewer = opening(workers, a_group(*[100_000] * CHUNKS))
    with pytest.raises(Fault, match="has ended"):
        await asyncio.wait_for(viewer, 60)
    await broadcasts.close()


async def refusal_of(opening: "asyncio.Task[WhepSession]") -> str:
    """The code of the fault that it ends with."""
    with pytest.raises(Fault) as caught:
        await asyncio.wait_for(opening, 60)
    return caught.value.code


async def test_a_browser_that_asks_thirty_times_and_gives_up_each_time_takes_nobodys_place(
    workers: DeafWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whep, "PEERS", 1)
    broadcasts, first = opening(workers, a_group(*[100_000] * CHUNKS))
    for _ in range(30):  # nobody reads as yet: a worker that is still on its way
        await asyncio.wait({first}, timeout=0.01)
        assert not first.done()
        first.cancel()
        await asyncio.wait({first})
        first = asyncio.create_task(broadcasts.open("yard", lambda: None, OFFER))
    await asyncio.wait({first}, timeout=0.01)
    assert not first.done()
    assert await refusal_of(asyncio.create_task(broadcasts.open("yard", lambda: None, OFFER))) == "capacity-exceeded"
    first.cancel()
    await broadcasts.close()


async def test_a_worker_that_never_says_that_a_viewer_is_gone_gets_its_places_back_all_the_same(
    workers: DeafWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whep, "LEAVING", 0.1)
    broadcasts, viewer = opening(workers, a_group(*[100_000] * CHUNKS))
    await asyncio.wait({viewer}, timeout=0.01)
    viewer.cancel()
    assert await asyncio.wait_for(workers.worker.gone, 60) == -signal.SIGKILL  # no viewer is left
    await broadcasts.close()


async def test_who_is_answered_and_does_not_connect_gives_way_where_all_places_are_taken(
    workers: DeafWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whep, "PEERS", 2)
    monkeypatch.setattr(whep, "COMING", 0.0)
    broadcasts, here = opening(workers, a_group(*[100_000] * CHUNKS))
    coming = asyncio.create_task(broadcasts.open("yard", lambda: None, OFFER))
    await asyncio.wait({coming}, timeout=0.01)
    heard: list[Order] = []
    far_end, decoder = workers.worker.take_far_end(), Decoder()
    async with asyncio.timeout(60):
        while len(heard) < 2:
            heard += [each for each in await read_some(far_end, decoder) if isinstance(each, Order)]
        for order in heard:
            far_end.send(messages.encode(TaskProgress({"session": order.info["session"], "answer": "v=0"})))
        far_end.send(messages.encode(TaskProgress({"session": heard[0].info["session"], "connected": True})))
        viewers = [await here, await coming]
        await asyncio.wait({viewers[0].gone}, timeout=0.05)  # its worker has said that it is connected
        third = asyncio.create_task(broadcasts.open("yard", lambda: None, OFFER))
        await asyncio.wait({third}, timeout=0.01)
        assert [each.leaving for each in viewers] == [False, True]
        assert not third.done()
        third.cancel()
        await broadcasts.close()
    assert all(each.gone.done() for each in viewers)


async def test_who_has_over_half_of_the_places_gives_one_to_another_and_none_to_itself(
    workers: DeafWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whep, "PEERS", 4)
    ring = a_group(*[100_000] * CHUNKS)
    broadcasts = Broadcasts(cast(Workers, workers))

    async def asks(who: str) -> asyncio.Task[WhepSession]:
        task = asyncio.create_task(broadcasts.open("yard", lambda: ring, Offer("v=0", "127.0.0.1", who)))
        await asyncio.wait({task}, timeout=0.01)
        return task

    held = [await asks("many") for _ in range(4)]
    assert await refusal_of(await asks("many")) == "capacity-exceeded"
    others = [await asks("one"), await asks("two")]  # nobody answers as yet; they have their places
    assert not any(each.done() for each in (*held, *others))
    kept = broadcasts._running["yard"]._sessions.values()
    assert [each.who for each in kept if not each.leaving] == ["many", "many", "one", "two"]
    assert await refusal_of(await asks("three")) == "capacity-exceeded"
    for each in (*held, *others):
        each.cancel()
    await broadcasts.close()


async def test_a_worker_that_says_nothing_for_too_long_is_ended_and_its_viewers_are_told(
    workers: DeafWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whep, "SILENT", 0.1)
    monkeypatch.setattr(whep, "TICK", 0.1)
    broadcasts, viewer = opening(workers, a_group(*[100_000] * CHUNKS))
    assert await refusal_of(viewer) == "worker-crashed"
    assert workers.worker.gone.result() == -signal.SIGKILL
    await broadcasts.close()


class Unreadable(LiveRing):
    """What is in it cannot be had: a channel that was closed, and whose chunks others have displaced."""

    asked = 0

    async def chunk(self, number: int) -> None:
        """Never."""
        self.asked += 1


async def test_a_stream_that_has_ended_and_cannot_be_read_ends_the_session(workers: DeafWorkers) -> None:
    ring = Unreadable(RingLimits(), lambda: 1_700_000_000.0)
    init = Init(b"an init", VideoTrack("avc1.64001f", 90_000, 640, 360), None)
    for number in range(3):
        ring.append(init, number * 9000, 9000, number == 1, b"gone")
    ring.close()
    broadcasts, viewer = opening(workers, ring)
    with pytest.raises(Fault, match="has ended"):
        await asyncio.wait_for(viewer, 60)
    await broadcasts.close()
    assert ring.asked == 1  # at the newest key frame, where the viewer is
