"""Still pictures as the event loop sees them: who shares one that is being made, and who does not."""

import asyncio

from media.pictures.stills import Still, Stills, _Key
from media.process.workers import Workers
from media.ring import LiveRing, Ring, RingLimits
from tests.support.feeding import Feeder


class Slow(Stills):
    """The first picture is not finished before it is given up, and giving it up takes a while."""

    def __init__(self) -> None:
        super().__init__(Workers(), lambda: 0.0)
        self.begun = 0
        self.let_go = asyncio.Event()

    async def _make(self, ring: Ring, key: _Key) -> Still:
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
