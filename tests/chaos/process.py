"""A gateway that is started again whenever it ends, as a service manager would, and what the kernel knows of it."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.support.processes import below, state

ROOT: Final = Path(__file__).parents[2]
AGAIN: Final = 0.5  # seconds until a gateway that has ended is started again


class Kept:
    """`folder` has `media`, `data` and `cache`; each process of the gateway has it in its environment, as TMPDIR."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.starts = 0
        self._port = port
        self._log = (folder.parent / "gateway.log").open("ab")
        self._process: asyncio.subprocess.Process | None = None
        self._wanted = True
        self._task = asyncio.create_task(self._keep(), name="gateway")

    @property
    def pid(self) -> int | None:
        """The gateway, while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def server(self) -> int | None:
        """The fork server."""
        gateway = self.pid
        children = below(gateway) if gateway is not None else []
        servers = [pid for pid in children if b"fork_server" in _read(pid, "cmdline") and _parent(pid) == gateway]
        return servers[0] if servers else None

    def every(self) -> list[int]:
        """All processes of this gateway and of those before it, known or not, that have not ended."""
        mark = f"TMPDIR={self.folder}\0".encode()
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if mark in _read(pid, "environ")]

    def workers(self) -> list[int]:
        """Those that are neither the gateway nor its fork server."""
        return [pid for pid in self.every() if pid not in (self.pid, self.server())]

    def zombies(self) -> list[int]:
        """Ended, and not waited for."""
        return [pid for pid in below(self.pid or 0) if state(pid) == "Z"] if self.pid else []

    async def end(self) -> int:
        """SIGTERM; gives the exit status."""
        self._wanted = False
        process = self._process
        assert process is not None
        process.terminate()
        status = await process.wait()
        await self._task
        self._log.close()
        return status

    async def _keep(self) -> None:
        folder = self.folder
        names = {f"{name.upper()}_DIR": str(folder / name) for name in ("media", "data", "cache")}
        names |= {"HTTP_PORT": str(self._port), "TMPDIR": str(folder), "JOBS_MAX_PENDING": "256"}
        while self._wanted:
            self.starts += 1
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", "serve",
                env={**os.environ, **names}, stdout=subprocess.DEVNULL, stderr=self._log, cwd=ROOT,
            )  # fmt: skip
            await self._process.wait()
            await asyncio.sleep(AGAIN)


def _read(pid: int, name: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b") ")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0
