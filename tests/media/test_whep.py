"""How a stream's ring is fed to the worker that sends it by WebRTC: all of it, but no faster than it is read."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from media import fmp4, messages, whep
from media.chunk import Init, VideoTrack
from media.faults import Fault
from media.fmp4 import Sample
from media.framing import Decoder
from media.messages import ChunkMade, Message, Start
from media.ring import LiveRing, RingLimits
from media.whep import Broadcasts, Offer, Session
from media.workers import MAX_OUTGOING, OnMessage, Worker, Workers

CHUNKS = 80
OFFER = Offer("v=0", "127.0.0.1")


class Deaf(Worker):
    """A worker without a process: it reads when the test does, and is gone as soon as it is killed."""

    def kill(self) -> None:
        self.ended(-signal.SIGKILL)


class DeafWorkers:
    """Makes them, and knows the newest."""

    worker: Deaf

    def spawn(self, start: Start, on_message: OnMessage) -> Worker:
        self.worker = Deaf(start.task, on_message)
        return self.worker


def a_long_group() -> LiveRing:
    """8 MB of chunks of which only the first is independent."""
    ring = LiveRing(RingLimits(), lambda: 1_700_000_000.0)
    init = Init(b"an init", VideoTrack("avc1.64001f", 90_000, 640, 360), None)
    for number in range(CHUNKS):
        samples = [Sample((100_001).to_bytes(4) + b"\x65" + bytes(100_000), 9000, number == 0, 0)]
        ring.append(init, number * 9000, 9000, number == 0, fmp4.fragment(1, number, number * 9000, samples))
    assert sum(len(sample.data) for sample in samples) * CHUNKS > MAX_OUTGOING
    return ring


async def read(far_end: socket.socket, last: int) -> list[Message]:
    """What the worker hears, up to the chunk that ends at `last`."""
    far_end.setblocking(False)
    decoder, heard = Decoder(), list[Message]()
    while not (heard and isinstance(heard[-1], ChunkMade) and heard[-1].decode_time + heard[-1].duration == last):
        data = await asyncio.get_running_loop().sock_recv(far_end, 65536)
        assert data
        heard += [messages.decode(header, body) for header, body in decoder.feed(data)]
    return heard


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeafWorkers]:
    monkeypatch.setattr(whep, "FAREWELL", 0.1)
    made = DeafWorkers()
    yield made
    made.worker.take_far_end().close()


def opening(workers: DeafWorkers) -> tuple[Broadcasts, asyncio.Task[Session]]:
    ring = a_long_group()
    broadcasts = Broadcasts(cast(Workers, workers))
    return broadcasts, asyncio.create_task(broadcasts.open("yard", lambda: ring, OFFER))


async def test_a_group_of_pictures_beyond_what_may_wait_for_a_worker_comes_whole(workers: DeafWorkers) -> None:
    broadcasts, viewer = opening(workers)
    async with asyncio.timeout(20):
        await asyncio.wait({viewer}, timeout=0.1)  # nobody reads as yet
        heard = await read(workers.worker.take_far_end(), CHUNKS * 9000)
        assert not viewer.done()
        viewer.cancel()
        await broadcasts.close()
    assert sum(isinstance(each, ChunkMade) for each in heard) == CHUNKS
    assert [type(each).__name__ for each in heard[:3]] == ["Order", "InitMade", "ChunkMade"]


async def test_a_worker_that_does_not_read_what_waits_for_it_is_given_up(
    workers: DeafWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whep, "PATIENCE", 0.1)
    broadcasts, viewer = opening(workers)
    with pytest.raises(Fault, match="has ended"):
        await asyncio.wait_for(viewer, 5)
    await broadcasts.close()
