"""What callers ask of a gateway while it is killed, and what it has acknowledged to them."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

FILE: Final = b"chaos" * 20_000  # 100 kB
BASE: Final = "/rest-api/v3"
PATIENCE: Final = aiohttp.ClientTimeout(total=20)
BREATH: Final = 0.15  # seconds between two calls of one caller


@dataclass
class Acknowledged:
    """What was answered with success: it must be so after whatever happens. What broke off was promised to nobody."""

    live: set[str] = field(default_factory=set)  # names of channels
    ended: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)  # ids
    count: int = 0
    refused: int = 0
    broken_off: int = 0


async def ask(session: aiohttp.ClientSession, path: str, body: Any, prefer: str = "") -> tuple[int, Any]:
    """Status and body of one call; status 0 when there was no answer."""
    try:
        async with session.post(BASE + path, json=body, headers={"Prefer": prefer}, timeout=PATIENCE) as answer:
            return answer.status, await answer.json(content_type=None)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return 0, None


class Caller:
    """Starts channels, ends some of them, and puts files, one call after another, as long as `run` goes on."""

    def __init__(self, url: str, name: str, seed: int) -> None:
        self._url = url
        self._name = name
        self._dice = random.Random(seed)
        self._number = 0
        self.unsure: set[str] = set()  # names of channels of which the end broke off
        self.acknowledged = Acknowledged()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with aiohttp.ClientSession(self._url) as session:
            while True:
                await self._dice.choice([self._start, self._start, self._end, self._put])(session)
                await asyncio.sleep(BREATH)

    def _note(self, status: int) -> bool:
        told = self.acknowledged
        told.count += 200 <= status < 300
        told.refused += status >= 400
        told.broken_off += status == 0
        return 200 <= status < 300

    async def _start(self, session: aiohttp.ClientSession) -> None:
        self._number += 1
        name = f"{self._name}-{self._number}"
        body = {"uri": "vod-live://short.mp4", "localStreamName": name, "loop": True}
        status, told = await ask(session, "/vod/startup", body, "wait=3, timeout=15")
        if self._note(status) and status == 200:
            self.acknowledged.live.add(name)
        elif status == 202:
            self.acknowledged.jobs.add(told["id"])

    async def _end(self, session: aiohttp.ClientSession) -> None:
        live = sorted(self.acknowledged.live)
        if not live:
            return
        name = self._dice.choice(live)
        self.acknowledged.live.discard(name)  # whatever the answer: it may have been ended
        status, _ = await ask(session, "/stream/terminate", {"name": name})
        if self._note(status) and status == 200:
            self.acknowledged.ended.add(name)
        else:
            self.unsure.add(name)

    async def _put(self, session: aiohttp.ClientSession) -> None:
        self._number += 1
        name = f"{self._name}-{self._number}.mp4"
        try:
            async with session.put(f"{BASE}/media/{name}", data=MP4 + FILE, timeout=PATIENCE) as answer:
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            status = 0
        if self._note(status):
            self.acknowledged.files.add(name)


# The first box of an MP4 file (ISO/IEC 14496-12, 4.3), by which an upload is known for one.
MP4: Final = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"
