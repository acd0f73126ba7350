"""The whole gateway as a process of its own, and a call of its API."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from gateway.settings import Settings
from tests.support.processes import handing_in


@asynccontextmanager
async def gateway_process(
    settings: Settings, listening: socket.socket | None = None, **more: str
) -> AsyncIterator[tuple[Any, str]]:
    """`python -m gateway serve` as a process, killed at the end unless it is gone; gives it and its address. `more`
    settings are by their names in the environment. A socket is handed in as systemd does it.
    """
    handed = [listening] if listening is not None else []
    hands_in = handing_in(handed) if handed else []
    names = {name.upper(): str(value) for name, value in settings.model_dump().items() if name.endswith("_dir")}
    names["JOBS_MAX_PREFER_WAIT_TIME"] = str(settings.jobs_max_prefer_wait_time)
    process = await asyncio.create_subprocess_exec(
        *hands_in, sys.executable, "-m", "gateway", "serve",
        env={**os.environ, **names, **more, "HTTP_PORT": "0"}, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
        pass_fds=[each.fileno() for each in handed],
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("reelgate ready ")
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def call(url: str, path: str, body: Any = None, prefer: str = "") -> Any:
    headers, address = {"Prefer": prefer}, f"{url}/rest-api/v3{path}"
    async with aiohttp.ClientSession() as session, session.post(address, json=body, headers=headers) as answer:
        return await answer.json()
