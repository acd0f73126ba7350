"""Still pictures as the event loop sees them: who shares one that is being made, and who does not."""

import asyncio

from media.chunk import Chunk
from media.faults import Fault
from media.pictures.stills import TURNS, Still, Stills, _Key
from media.process.messages import Finished
from media.process.workers import Workers
from media.ring import LiveRing, Ring, RingLimits
from tests.support.feeding import Feeder


class Slow(Stills):
    """The first picture is not finished before it is given up, and giving it up takes a while."""

    def __init__(self) -> None:
        super().__init__(Workers(), lambda: 0.0)
        self.begun = 0
        self.let_go = asyncio.Event()

    async def _make(self, ring: Ring, key: _Key, viewer: str) -> Still:
        self.begun += 1
        if self.begun == 1:
            try:
                await asyncio.Event().wait()
            finally:
                await self.let_go.wait()
        return Still(b"a picture", 640, 360, key.format, 0.0)


async def test_who_asks_while_a_picture_is_given_up_gets_one_of_his_own() -> None:
    ring = LiveRing(RingLimits(), lambda: 0.0)
    Feeder(ring).feed()
    stills = Slow()
    gone = asyncio.create_task(stills.take(ring))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        assert (await stills.take(ring)).data == b"a picture"
    assert not gone.done()
    stills.let_go.set()
    await asyncio.wait({gone})
    assert (gone.cancelled(), stills.begun) == (True, 2)


async def test_all_who_ask_for_one_that_is_being_made_share_it() -> None:
    ring = LiveRing(RingLimits(), lambda: 0.0)
    Feeder(ring).feed()
    stills = Slow()
    stills.begun = 1
    one, other = await asyncio.gather(stills.take(ring), stills.take(ring))
    assert one is other
    assert stills.begun == 2


class Counted(Stills):
    """Counts the pictures that are made; each is made when it is `allowed`."""

    def __init__(self) -> None:
        super().__init__(Workers(), lambda: 0.0)
        self.asked: list[_Key] = []
        self.allowed = asyncio.Event()

    async def _ask(self, chunk: Chunk, key: _Key) -> Finished:
        self.asked.append(key)
        await self.allowed.wait()
        return Finished({"width": 640, "height": 360}, b"a picture")


async def settled() -> None:
    """Lets everybody do what they can do just now."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_viewer_who_asks_for_every_width_holds_up_neither_another_viewer_nor_another_stream() -> None:
    rings = [LiveRing(RingLimits(), lambda: 0.0) for _ in range(2)]
    for ring in rings:
        Feeder(ring).feed()
    stills = Counted()
    eager = [asyncio.create_task(stills.take(rings[0], width=width, viewer="eager")) for width in range(16, 316)]
    await settled()
    refused = [task for task in eager if task.done()]
    assert len(refused) == 300 - 1 - TURNS.of_caller  # one is being made, the others of its bound wait
    assert all(isinstance(fault := task.exception(), Fault) and fault.code == "capacity-exceeded" for task in refused)
    modest = [asyncio.create_task(stills.take(ring, viewer="modest")) for ring in rings]
    await settled()
    assert [key.width for key in stills.asked] == [16, None]  # the other stream has its turn at once
    stills.allowed.set()
    async with asyncio.timeout(30):
        await asyncio.gather(*modest)
    assert None in [key.width for key in stills.asked[2:4]]  # and the other viewer is the next but one at the most
    await asyncio.wait(set(eager))


async def test_widths_that_make_a_picture_no_smaller_are_one_picture() -> None:
    ring = LiveRing(RingLimits(), lambda: 0.0)
    Feeder(ring).feed()
    stills = Counted()
    stills.allowed.set()
    video = ring.segments()[-1].init.video
    assert video is not None
    width = video.width
    for asked in (None, width, width + 1, 4096):
        await stills.take(ring, width=asked)
    assert len(stills.asked) == 1
