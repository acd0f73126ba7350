"""What others have written for browsers: installed by npm into an ignored folder when it is first needed."""

import asyncio
import fcntl
import os
from pathlib import Path
from typing import Final

from tests.peers import ffmpeg

FOLDER: Final = Path(__file__).parent
INSTALL: Final = (
    "npm",
    "install",
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
    "--fetch-timeout=60000",  # ms; where the registry is slow or away for a moment, it asks twice again
    "--fetch-retries=2",
    "--loglevel=error",
)


async def installed(path: str) -> Path:
    """A file of a package that package.json names; fetched once, however many test processes ask for it."""
    folder = os.open(FOLDER, os.O_RDONLY)
    wanted = FOLDER / "node_modules" / path
    try:
        await asyncio.to_thread(fcntl.flock, folder, fcntl.LOCK_EX)
        if not wanted.exists():
            status, _, err = await ffmpeg.run(*INSTALL, "--prefix", str(FOLDER), seconds=270)
            assert status == 0, err
    finally:
        os.close(folder)
    return await asyncio.to_thread(wanted.resolve)
