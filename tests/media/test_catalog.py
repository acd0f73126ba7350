"""Who owns a stream name, and how a stream may move from one status to the next."""

import asyncio
from itertools import product
from typing import Any

import pytest

from media.catalog import Catalog
from media.ring import Ring
from media.stream import MOVES, Identity, Status, Stream


class FakeStream(Stream):
    """A stream of nothing; `gate` holds up its stop."""

    def __init__(self, name: str, uri: str = "rtsp://camera/", status: Status = Status.LIVE) -> None:
        super().__init__(Identity(name, "rtsp", uri, False, 0.0), lambda: 0.0, status)
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def ring(self) -> Ring | None:
        return None

    async def stop(self) -> None:
        await self.gate.wait()
        if self.status in (Status.LIVE, Status.WAITING):
            self.move(Status.STOPPED)

    def wanted(self) -> dict[str, Any]:
        return {}

    def details(self) -> dict[str, Any]:
        return {}


async def test_a_name_belongs_to_one_stream_until_everything_of_it_is_gone() -> None:
    catalog = Catalog()
    first = FakeStream("yard")
    catalog.publish(first)
    assert catalog.holder("yard") is first
    assert catalog.holder_of_uri("rtsp://camera/") is first
    with pytest.raises(ValueError, match="taken"):
        catalog.publish(FakeStream("yard"))
    first.gate.clear()
    stopping = asyncio.create_task(catalog.terminate([first]))
    await asyncio.sleep(0)
    assert catalog.holder("yard") is first
    first.gate.set()
    await stopping
    assert catalog.holder("yard") is None
    assert list(catalog.streams()) == []
    assert catalog.by_id(first.identity.id) is first  # for a while
    catalog.publish(FakeStream("yard"))


async def test_a_failed_stream_holds_no_name_and_gives_way() -> None:
    catalog = Catalog()
    failed = FakeStream("yard")
    catalog.publish(failed)
    failed.move(Status.FAILED)
    assert catalog.holder("yard") is None
    assert list(catalog.streams()) == [failed]  # it is kept to be seen
    successor = FakeStream("yard")
    catalog.publish(successor)
    assert list(catalog.streams()) == [successor]
    await catalog.terminate([failed])
    assert catalog.holder("yard") is successor


async def test_listeners_hear_every_change_and_a_broken_one_harms_nobody() -> None:
    catalog = Catalog()
    heard: list[Status] = []

    def broken(_: Stream) -> None:
        raise RuntimeError("broken")

    catalog.listeners += [broken, lambda stream: heard.append(stream.status)]
    stream = FakeStream("yard")
    catalog.publish(stream)
    stream.move(Status.WAITING)
    stream.move(Status.WAITING)
    stream.move(Status.LIVE)
    await catalog.terminate([stream])
    assert heard == [Status.LIVE, Status.WAITING, Status.LIVE, Status.STOPPED]


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
async def test_a_status_changes_only_along_the_table(before: Status, after: Status) -> None:
    stream = FakeStream("yard", status=before)
    if after is before or after in MOVES[before]:
        stream.move(after)
        assert stream.status is after
    else:
        with pytest.raises(ValueError, match=before):
            stream.move(after)
        assert stream.status is before


async def test_viewers_are_counted_while_they_watch() -> None:
    catalog = Catalog()
    stream = FakeStream("yard")
    catalog.publish(stream)
    with catalog.viewer("yard"), catalog.viewer("yard"):
        assert stream.record()["viewers"] == 2
    assert stream.record()["viewers"] == 0
    with catalog.viewer("nobody"):
        pass
