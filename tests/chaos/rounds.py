"""One round after another: a trouble, a kill in the middle of it, and then everything that must be well again."""

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from media.channel.packages import index
from media.faultcamera import sample
from media.faultcamera.server import Camera
from media.faultcamera.settings import CameraSettings
from tests.chaos.asking import FILE as CONTENT
from tests.chaos.asking import MP4, Acknowledged, Caller, ask
from tests.chaos.process import Kept
from tests.chaos.troubles import TROUBLES, VICTIMS, victim

CALLERS: Final = 3
HEALED: Final = 90.0  # seconds in which all must be well again, on a busy machine
LOOK: Final = 0.25
ENDED: Final = ("DONE", "FAILED", "CANCELLED")
KEPT: Final = ("camera", "channel", "marked")  # streams that are there from the beginning to the end


class Broken(AssertionError):
    """Something did not come back, or was lost."""


@dataclass(frozen=True)
class Told:
    """One round, in figures. `healed` is in seconds, from the end of the trouble on."""

    victim: str
    trouble: str
    killed: bool
    acknowledged: int
    refused: int
    broken_off: int
    healed: float


class Chaos:
    """`seconds` is how long a trouble lasts."""

    def __init__(self, gateway: Kept, camera: Camera, seconds: float, seed: int) -> None:
        self._gateway = gateway
        self._camera = camera
        self._seconds = seconds
        self._dice = random.Random(seed)
        self._session = aiohttp.ClientSession(gateway.url)

    async def begin(self) -> None:
        """The streams that are to live through all of it."""
        await self._eventually("ready", self._ready)
        loop = {"uri": "vod-live://short.mp4", "loop": True}
        bodies = [
            ("/rtsp/startup", {"uri": self._camera.url, "localStreamName": "camera"}),
            ("/vod/startup", {**loop, "localStreamName": "channel"}),
            ("/vod/startup", {**loop, "localStreamName": "marked", "watermark": {"file": "logo.png"}}),
        ]
        for path, body in bodies:
            status, told = await ask(self._session, path, body, "wait=5, timeout=60")
            if status not in (200, 202):
                raise Broken(f"{path}: {status} {told}")
        await self._eventually("live", lambda: self._live(set(KEPT)))

    async def close(self) -> None:
        await self._session.close()

    async def end(self) -> int:
        """The exit status of a gateway that is told to end."""
        await self.close()
        status = await self._gateway.end()
        await self._eventually("no process left", self._nobody)
        return status

    async def round(self, number: int) -> Told:
        """Raises `Broken`."""
        trouble, who = list(TROUBLES)[number % 3], VICTIMS[(number + number // 3) % 3]  # in nine rounds each with each
        callers = [Caller(self._gateway.url, f"c{number}-{each}", 100 * number + each) for each in range(CALLERS)]
        tasks = [asyncio.create_task(caller.run(), name="caller") for caller in callers]
        try:
            await asyncio.sleep(0.5)
            with TROUBLES[trouble](self._gateway):
                killed = await self._kill_within(who)
            over = time.monotonic()
            await asyncio.sleep(1.0)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await self._all_is_well(callers)
        healed = time.monotonic() - over
        told = [caller.acknowledged for caller in callers]
        await self._tidy(told)
        return Told(
            *(who, trouble, killed),
            acknowledged=sum(each.count for each in told),
            refused=sum(each.refused for each in told),
            broken_off=sum(each.broken_off for each in told),
            healed=healed,
        )

    async def _kill_within(self, who: str) -> bool:
        """SIGKILL at some moment of the trouble, which then goes on for the rest of its time."""
        before = self._dice.uniform(0.1, 0.9) * self._seconds
        await asyncio.sleep(before)
        pid = victim(self._gateway, who, self._dice.randrange(100))
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(self._seconds - before)
        return pid is not None

    async def _all_is_well(self, callers: list[Caller]) -> None:
        told = [caller.acknowledged for caller in callers]
        unsure = {name for caller in callers for name in caller.unsure}
        live = set(KEPT).union(*(each.live for each in told))
        ended = set[str]().union(*(each.ended for each in told))
        await self._eventually("ready", self._ready)
        await self._eventually("live again", lambda: self._live(live - unsure))
        names = await self._names()
        if ended & names:
            raise Broken(f"ended, acknowledged, and there again: {sorted(ended & names)}")
        for each in told:
            await self._files(each)
        await self._eventually("jobs ended", lambda: self._jobs(told))
        await self._eventually("no zombie, no orphan", self._processes)
        await self._eventually("no temporary file", self._temporary)

    async def _tidy(self, told: list[Acknowledged]) -> None:
        """Ends what the round has started, so that the next one is as long; also what nobody was promised."""
        for name in await self._names() - set(KEPT):
            status, answer = await ask(self._session, "/stream/terminate", {"name": name})
            if status != 200:
                raise Broken(f"terminate of {name}: {status} {answer}")
        for each in told:
            for name in each.files:
                (self._gateway.folder / "media" / name).unlink()

    # What is looked at: each gives what is wrong, "" when nothing is.

    async def _eventually(self, what: str, look: Callable[[], Awaitable[str]]) -> None:
        end = time.monotonic() + HEALED
        while wrong := await look():
            if time.monotonic() > end:
                raise Broken(f"{what}: {wrong}")
            await asyncio.sleep(LOOK)

    async def _ready(self) -> str:
        try:
            async with self._session.get("/readyz", timeout=aiohttp.ClientTimeout(total=5)) as answer:
                told = await answer.text()
                return "" if answer.status == 200 and '"ok"' in told else told
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return type(error).__name__

    async def _streams(self) -> dict[str, Any]:
        status, told = await ask(self._session, "/stream/find_all", {"limit": 1000})
        return {each["name"]: each for each in told} if status == 200 else {}

    async def _names(self) -> set[str]:
        return set(await self._streams())

    async def _live(self, names: set[str]) -> str:
        streams = await self._streams()
        wrong = {name: streams[name]["status"] if name in streams else "lost" for name in names}
        wrong = {name: status for name, status in wrong.items() if status != "LIVE"}
        return f"{wrong}" if wrong else ""

    async def _jobs(self, told: list[Acknowledged]) -> str:
        wanted = set[str]().union(*(each.jobs for each in told))
        status, jobs = await ask(self._session, "/jobs/find", {"limit": 1000})
        if status != 200:
            return f"jobs/find: {status}"
        states = {job["id"]: job["state"] for job in jobs}
        lost = [job for job in wanted if states.get(job, "lost") not in ENDED]
        running = [job["id"] for job in jobs if job["state"] not in ENDED or job.get("zombie")]
        return f"not ended: {lost or running}" if lost or running else ""

    async def _files(self, told: Acknowledged) -> None:
        for name in told.files:
            path = self._gateway.folder / "media" / name
            if not path.exists() or path.read_bytes() != MP4 + CONTENT:
                raise Broken(f"the file {name} was acknowledged and is not there")

    async def _processes(self) -> str:
        """As many workers as the gateway knows of, and nobody else."""
        async with self._session.get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
        known = next(float(line.split()[1]) for line in lines if line.startswith("gateway_workers "))
        here, zombies = self._gateway.workers(), self._gateway.zombies()
        return "" if len(here) == known and not zombies else f"{here} for {known:g} known, zombies: {zombies}"

    async def _temporary(self) -> str:
        folder = self._gateway.folder
        left = [str(path) for path in (folder / "media").iterdir() if path.name.startswith(".")]
        left += [str(path) for path in (folder / "cache").iterdir() if not (path / index.INDEX_NAME).exists()]
        left += [str(path) for path in (folder / "data" / "pictures").iterdir() if len(path.name) != 64]
        left += [str(path) for path in folder.iterdir() if path.name not in ("media", "data", "cache")]
        return f"{left}" if left else ""

    async def _nobody(self) -> str:
        return f"{self._gateway.every()}" if self._gateway.every() else ""


def free_port() -> int:
    """One that a gateway can have again and again, as its callers know it by that."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def run(folder: Path, rounds: int, seconds: float, seed: int, told: Callable[[int, Told], None]) -> int:
    """All rounds in `folder`, an empty one; `told` hears of each. Gives the exit status of the gateway's end."""
    for name in ("media", "data", "cache"):
        (folder / name).mkdir()
    sample.write_logo(folder / "media" / "logo.png")
    sample.write_video(folder / "media" / "short.mp4", seconds=4)
    async with Camera(CameraSettings()) as camera:
        gateway = Kept(folder, free_port())
        chaos = Chaos(gateway, camera, seconds, seed)
        try:
            await chaos.begin()
            for number in range(rounds):
                told(number, await chaos.round(number))
        finally:
            status = await chaos.end()
    return status
