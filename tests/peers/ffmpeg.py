"""ffmpeg and ffprobe as clients."""

import asyncio
import json
import subprocess
from typing import Any


async def run(*command: str, seconds: float = 60.0) -> tuple[int, str, str]:
    """Runs a command to its end: exit status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def complaints(url: str, seconds: float) -> str:
    """What ffmpeg says at level warning while it reads and decodes `seconds` of a live address; "" is what we want."""
    length = ("-t", str(seconds))
    status, _, err = await run(
        "ffmpeg", "-nostdin", "-v", "warning", "-i", url, *length, "-f", "null", "-", seconds=seconds + 30
    )
    return err if status == 0 else f"exit status {status}\n{err}"


async def packets(url: str, seconds: float) -> dict[str, list[dict[str, Any]]]:
    """The packets that ffprobe reads from a live address within `seconds` of media, by `video` and `audio`."""
    status, out, err = await run(
        "ffprobe", "-v", "error", "-read_intervals", f"%+{seconds}", "-show_packets", "-of", "json", url,
        seconds=seconds + 30,
    )  # fmt: skip
    assert status == 0, err
    found: dict[str, list[dict[str, Any]]] = {"video": [], "audio": []}
    for packet in json.loads(out)["packets"]:
        found[packet["codec_type"]].append(packet)
    return found
