"""Looking up a source's addresses without holding up the event loop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from ipaddress import ip_address
from queue import SimpleQueue
from threading import Thread
from typing import Final

from media.faults import Fault

# (host, port) -> addresses in the order to try. Raises Fault `source-dns`.
Resolve = Callable[[str, int], Awaitable[tuple[str, ...]]]

_Lookup = tuple["Future[tuple[str, ...]]", str, int]


class Resolver:
    """The system's resolver on a few threads of its own.

    `getaddrinfo` cannot be cancelled and may hang for tens of seconds. On the loop's default executor it would hold up
    every other user, and an executor's threads are joined at exit; these are daemons. A lookup whose caller has gone is
    dropped from the queue; the queue is bounded by the callers, each of which waits for one answer.
    """

    def __init__(self, threads: int = 4) -> None:
        self._threads = threads
        self._started = 0
        self._queue: SimpleQueue[_Lookup] = SimpleQueue()

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of `host`; for a literal address that address, without asking. Raises Fault `source-dns`."""
        if _is_literal(host):
            return (host,)
        self._start_thread()
        lookup: Future[tuple[str, ...]] = Future()
        self._queue.put((lookup, host, port))
        try:
            return await asyncio.wrap_future(lookup)
        except (OSError, ValueError):  # ValueError: a name that cannot be encoded
            detail = f"the name {host!r} does not resolve; check its spelling and the DNS of this machine"
            raise Fault("source-dns", detail, "resolving") from None

    def _start_thread(self) -> None:
        """Starts one more thread, as long as there are too few. Fault `worker-unavailable` when there is none at
        all.
        """
        if self._started == self._threads:
            return
        try:
            Thread(target=self._work, name=f"resolve-{self._started + 1}", daemon=True).start()
        except RuntimeError:
            if not self._started:
                raise Fault(
                    "worker-unavailable", "No thread can be started to look up the name.", "resolving"
                ) from None
        else:
            self._started += 1

    def _work(self) -> None:
        while True:
            lookup, host, port = self._queue.get()
            if not lookup.set_running_or_notify_cancel():
                continue
            try:
                lookup.set_result(_lookup(host, port))
            except Exception as error:  # whatever it is, the thread is for the next one too
                lookup.set_exception(error)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _lookup(host: str, port: int) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


system_resolver: Final = Resolver()
