"""Requests that name themselves: whoever asks under the same key gets the job that the first one made."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.jobs.failures import Failure
from gateway.jobs.job import Claim

Lookup = Callable[[str], Awaitable[tuple[str, str] | None]]


class Claims:
    """The keys of the jobs in memory, and one lock for each key that is being looked at.

    `saved` looks up the id and the fingerprint of the saved job that has a key.
    """

    def __init__(self, saved: Lookup) -> None:
        self._saved = saved
        self._held: dict[str, tuple[str, str]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()

    def hold(self, claim: Claim | None, job_id: str) -> None:
        """The job with this claim is in memory from now on."""
        if claim is not None:
            self._held[claim.key] = (job_id, claim.fingerprint)

    def let_go(self, claim: Claim | None, job_id: str) -> None:
        """The job is in memory no more: it is saved, or forgotten."""
        if claim is not None and self._held.get(claim.key, ("", ""))[0] == job_id:
            del self._held[claim.key]

    @asynccontextmanager
    async def claiming(self, claim: Claim) -> AsyncIterator[str | None]:
        """The id of the job that this claim has made, or None; inside, nobody else can make one under its key.

        Raises Failure `idempotency-mismatch` when the key stands for another request.
        """
        async with self._alone(claim.key):
            earlier = self._held.get(claim.key) or await self._saved(claim.key)
            if earlier is not None and earlier[1] != claim.fingerprint:
                detail = "The Idempotency-Key was used for another request; use a new key for each new request."
                raise Failure("idempotency-mismatch", detail)
            yield None if earlier is None else earlier[0]

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] += 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]
