"""Too eager callers: a bucket of calls for each, refilled at the set rate."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.jobs.failures import Failure
from gateway.web.context import UNVERSIONED

MOST_CALLERS: Final = 10_000  # the one that was silent for longest is forgotten first: its bucket is the fullest


class Buckets:
    """At most `rate` calls a second for each caller, and a second's worth of them at once."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._size = max(1.0, rate)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Takes one call out of the caller's bucket. Gives the seconds until that works, 0 when it did."""
        now = self._clock()
        left, at = self._buckets.pop(caller, (self._size, now))
        left = min(self._size, left + (now - at) * self._rate)
        wait = max(0.0, (1.0 - left) / self._rate)
        self._buckets[caller] = (left if wait else left - 1.0, now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return wait


def middleware(rate: float, caller: Callable[[web.Request], str]) -> Middleware:
    """Refuses the API's calls beyond `rate` a second for each `caller` with 429, before anything is read."""
    buckets: list[Buckets] = []

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(f"{UNVERSIONED}/"):
            return await handler(request)
        if not buckets:
            buckets.append(Buckets(rate, asyncio.get_running_loop().time))
        wait = buckets[0].take(caller(request))
        if wait:
            seconds = max(1, math.ceil(wait))
            detail = f"More than {rate:g} calls a second; try again in {seconds} s."
            raise Failure("rate-limited", detail, retry_after=seconds)
        return await handler(request)

    return limited
