"""What is measured of streams: sampled, kept for a while, told to who asks, and forgotten with the stream."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from gateway.jobs.feed import QUEUE, Feed
from gateway.web.observe.figures import KEPT, Figures
from media.catalog import Catalog
from media.stream import Identity, Status


@dataclass
class Channel:
    """As much of a stream as is measured."""

    name: str
    viewers: int = 0
    rate: int | None = 1_000_000
    status: Status = Status.LIVE
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        self.identity = Identity(self.name, "vod", f"vod-live://{self.name}", False, 0.0, id=self.name)

    def bitrate(self) -> int | None:
        return self.rate

    def details(self) -> dict[str, Any]:
        return {"nextRetryAt": "soon", "lastError": None, "restarts": 3, "video": {}}

    def frame_age(self) -> float | None:
        return None


@dataclass
class Channels:
    """As much of a catalog as is asked."""

    there: list[Channel]

    def streams(self) -> Iterator[Channel]:
        return iter(self.there)


@pytest.fixture
async def world() -> tuple[Channels, Figures, Feed]:
    channels, feed = Channels([Channel("north"), Channel("south")]), Feed()
    return channels, Figures(cast(Catalog, channels), feed, lambda: 1_700_000_000.0), feed


def history(figures: Figures, channel: Channel, seconds: int = 600) -> dict[str, Any]:
    return figures.history(cast(Any, channel), seconds)


async def test_samples_are_columns_oldest_first_and_bounded(world: tuple[Channels, Figures, Feed]) -> None:
    channels, figures, _ = world
    north = channels.there[0]
    for viewers in range(KEPT + 5):
        north.viewers = viewers
        north.rate = None if viewers % 2 else 64_000
        figures.sample()
    told = history(figures, north)
    assert (len(told["viewers"]), told["viewers"][0], told["viewers"][-1]) == (KEPT, 5, KEPT + 4)
    assert history(figures, north, 6)["bitrate"] == [64_000, None, 64_000]
    assert told["lastFrameAge"] == [None] * KEPT


async def test_a_stream_that_is_gone_is_forgotten(world: tuple[Channels, Figures, Feed]) -> None:
    channels, figures, _ = world
    figures.sample()
    gone = channels.there.pop()
    figures.sample()
    assert history(figures, gone)["viewers"] == []
    assert len(history(figures, channels.there[0])["viewers"]) == 2


async def test_only_who_asks_is_told_and_nobody_is_lost_for_it(world: tuple[Channels, Figures, Feed]) -> None:
    _, figures, feed = world
    with feed.listening(None) as (plain, _), feed.listening(None, figures=True) as (curious, _):
        for _ in range(2 * QUEUE):
            figures.sample()
        assert not plain.waiting
        assert len(curious.waiting) == QUEUE // 2
        assert not curious.lost.is_set()
        wire = curious.waiting[0].wire
    assert wire.startswith(b"event: figures\ndata: ")  # and no id: Last-Event-ID stays that of the last change
    assert b'"id":"north","viewers":0,"bitrate":1000000,"lastFrameAge":null' in wire


async def test_of_a_stream_that_waits_each_try_is_told(world: tuple[Channels, Figures, Feed]) -> None:
    channels, figures, feed = world
    channels.there[0].status = Status.WAITING
    with feed.listening(None, figures=True) as (listener, _):
        figures.sample()
        north, south = listener.waiting[0].record["streams"]
    assert (north["nextRetryAt"], north["restarts"], "video" in north) == ("soon", 3, False)
    assert "nextRetryAt" not in south


async def test_it_samples_again_and_again_until_it_is_cancelled(world: tuple[Channels, Figures, Feed]) -> None:
    _, figures, feed = world
    with feed.listening(None, figures=True) as (listener, _):
        task = asyncio.create_task(figures.run())
        await asyncio.wait_for(listener.awake.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
