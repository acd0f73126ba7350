"""Tests of media/net/resolver.py: look-ups that hang hold up nobody."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from media.faults import Fault
from media.net.resolver import Resolver

STUCK = threading.Event()  # a thread hangs in the system's resolver


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A system resolver that hangs for `hang.example` until the test ends; the names that it was asked for."""
    release = threading.Event()
    asked: list[str] = []
    STUCK.clear()

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if host == "hang.example":
            STUCK.set()
            release.wait(10)
        if host == "gone.example":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            (2, 1, 6, "", ("192.0.2.1", port)),
            (2, 1, 6, "", ("192.0.2.1", port)),
            (10, 1, 6, "", ("::9", port, 0, 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    release.set()


async def test_addresses_come_in_order_and_once(hanging: list[str]) -> None:
    assert await Resolver()("cam.example", 554) == ("192.0.2.1", "::9")


async def test_an_unknown_name_is_a_fault(hanging: list[str]) -> None:
    with pytest.raises(Fault, match="source-dns"):
        await Resolver()("gone.example", 554)


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::1", "fe80::1%lo"])
async def test_a_literal_address_asks_nobody(hanging: list[str], address: str) -> None:
    assert await Resolver()(address, 554) == (address,)
    assert hanging == []


async def test_a_hanging_look_up_leaves_the_other_threads_and_the_loops_executor_free(hanging: list[str]) -> None:
    resolver = Resolver(threads=2)
    stuck = asyncio.create_task(resolver("hang.example", 554))
    async with asyncio.timeout(15):
        assert await resolver("cam.example", 554)
        assert await asyncio.to_thread(lambda: 1) == 1
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck


async def test_a_look_up_that_was_given_up_before_its_turn_is_never_made(hanging: list[str]) -> None:
    resolver = Resolver(threads=1)
    stuck = asyncio.create_task(resolver("hang.example", 554))
    await asyncio.sleep(0)  # lets it ask
    assert await asyncio.to_thread(STUCK.wait, 15)
    for name in ("a.example", "b.example"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await resolver(name, 554)
    assert hanging == ["hang.example"]
    assert [thread.daemon for thread in threading.enumerate() if thread.name.startswith("resolve-")]
    stuck.cancel()


async def test_threads_are_bounded(hanging: list[str]) -> None:
    before = threading.active_count()
    resolver = Resolver(threads=2)
    await asyncio.gather(*(resolver(f"cam{number}.example", 554) for number in range(20)))
    assert threading.active_count() <= before + 2
