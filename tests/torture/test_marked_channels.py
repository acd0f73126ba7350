"""Looping channels with a watermark burnt in, from REST to the pixels that a player sees."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from tests.media.pictures import Pixel, plain
from tests.media.processes import until
from tests.torture import pictures
from tests.torture.pictures import put

pytestmark = pytest.mark.media

RED: Pixel = (255, 0, 0, 255)
BLUE: Pixel = (0, 0, 255, 255)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with pictures.gateway(tmp_path) as api:
        put(api, "red.png", plain(RED, 80, 40))
        put(api, "blue.png", plain(BLUE, 80, 40))
        yield api


async def channel(api: Api, watermark: Any, name: str = "c", **more: Any) -> Answer:
    body = {"uri": "vod-live://grey.mp4", "localStreamName": name, "loop": True, "watermark": watermark, **more}
    return await api.post("/vod/startup", body, prefer="wait=5, timeout=30")


async def test_a_channel_shows_the_watermark_that_was_burnt_in_and_has_no_worker_afterwards(api: Api) -> None:
    answer = await channel(api, {"file": "red.png", "x": 100, "y": 50})
    assert answer.status == 200, answer.body
    assert answer.body["watermark"]["file"] == "red.png"
    assert (answer.body["video"]["mode"], answer.body["video"]["width"]) == ("transcode", pictures.WIDTH)
    assert "watermark" in answer.body["video"]["reason"]
    await until(lambda: api.gateway.workers.alive == 0, 20)
    assert api.gateway.capacity.used == 0
    shown = await pictures.picture(api, "c")
    shown.check_box(RED, 100, 50, 80, 40)
    chunks = await pictures.collected(pictures.live(api, "c"), 0, 20)  # three rounds and more
    assert len({chunk.init.id for chunk in chunks}) == 1
    assert not any(chunk.discontinuity for chunk in chunks)
    assert all(a.decode_time + a.duration == b.decode_time for a, b in pairwise(chunks))
    ticks = sum(chunk.duration for chunk in chunks)
    assert len(pictures.frames(chunks)) == ticks * 25 // chunks[0].init.timescale
