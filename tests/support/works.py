"""Fake works: they sleep, fail, finish too late, or do not listen."""

import asyncio
from typing import Any

from gateway.jobs.job import Draft, Progress


def draft(timeout: float = 5.0, pool: str = "camera", name: str = "", kind: str = "sleep") -> Draft:
    return Draft(kind, pool, (f"name:{name}",) if name else (), 5, timeout, {"method": kind})


class Sleep:
    """Takes `seconds`, then succeeds. `calls` tells what was asked of it, `held` whether it has a handle open."""

    def __init__(self, seconds: float = 0.0, stop_seconds: float = 0.0, error: Exception | None = None) -> None:
        self.seconds = seconds
        self.stop_seconds = stop_seconds
        self.error = error
        self.calls: list[str] = []
        self.held = False
        self.progress: Progress | None = None

    async def run(self, progress: Progress) -> None:
        self.calls.append("run")
        self.progress = progress
        self.held = True
        progress.stage("sleeping")
        await self.work()
        if self.error is not None:
            self.held = False
            raise self.error

    async def work(self) -> None:
        await asyncio.sleep(self.seconds)

    def publish(self) -> dict[str, Any]:
        self.calls.append("publish")
        return {"slept": self.seconds}

    async def stop(self) -> None:
        self.calls.append("stop")
        await asyncio.sleep(self.stop_seconds)
        self.held = False

    def kill(self) -> None:
        self.calls.append("kill")


class LateSuccess(Sleep):
    """Swallows the cancellation, and succeeds `seconds` after it was meant to be over."""

    async def work(self) -> None:
        try:
            await asyncio.sleep(1e6)
        except asyncio.CancelledError:
            await asyncio.sleep(self.seconds)


class Stubborn(Sleep):
    """Listens to nothing until it is killed; an unkillable one not even then, but only when `end` is set."""

    def __init__(self, unkillable: bool = False) -> None:
        super().__init__()
        self.unkillable = unkillable
        self.end = asyncio.Event()

    async def work(self) -> None:
        while not self.end.is_set():
            try:
                await self.end.wait()
            except asyncio.CancelledError:
                continue

    def kill(self) -> None:
        super().kill()
        if not self.unkillable:
            self.end.set()
