"""What a looping channel costs, beside `ffmpeg -re -stream_loop -1 -c copy` in the same run, as a table.

`python -m benchmarks.loops`. CPU is of the gateway's own process (or of the ffmpegs), over a steady stretch; memory is
PSS.
"""

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import aiohttp

from media.faultcamera import sample
from media.faultcamera.settings import ClipSettings

FILE: Final = "channel.mp4"
SETTLE: Final = 10.0  # seconds for what has just started to become steady
WANTED: Final = 0.5  # segments a second for each viewer
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Size:
    """How much to measure: channels, peers beside them, channels without viewers, and the seconds of each stretch."""

    channels: int
    peers: int
    idle: int
    seconds: float


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> int:
    """Bytes: its proportional share of what it has mapped."""
    line = next(line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


async def load(pids: list[int], seconds: float) -> float:
    """Share of a core that the processes take together."""
    before, began = sum(map(cpu, pids)), time.monotonic()
    await asyncio.sleep(seconds)
    return (sum(map(cpu, pids)) - before) / (time.monotonic() - began)


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """Its address and process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folders = {f"{name}_DIR": str(folder / name.lower()) for name in ("MEDIA", "DATA", "CACHE")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", env={**os.environ, "HTTP_PORT": str(port), **folders},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:
            for _ in range(200):
                try:
                    async with session.get(f"{base}/livez"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
        yield base, process.pid
    finally:
        process.terminate()
        await process.wait()


async def start(session: aiohttp.ClientSession, base: str, name: str, file: str = FILE, **more: Any) -> float:
    """Starts a channel; gives the seconds until its first chunk can be played."""
    began = time.monotonic()
    body = {"uri": f"vod-live://{file}", "localStreamName": name, "loop": True, **more}
    async with session.post(f"{base}/rest-api/v3/vod/startup", json=body, headers={"Prefer": "wait=5"}) as answer:
        status, said, job = answer.status, await answer.text(), answer.headers.get("Job-Id", "")
    while status == 202:  # something to recode: it takes longer than a call may
        await asyncio.sleep(0.2)
        result = f"{base}/rest-api/v3/jobs/{job}/result"
        async with session.get(result) as answer:
            status, said = answer.status, await answer.text()
    if status != 200:
        raise RuntimeError(said)
    async with session.get(f"{base}/live/{name}/media.m3u8") as playlist:
        await playlist.read()
    return time.monotonic() - began


async def start_many(session: aiohttp.ClientSession, base: str, first: int, count: int) -> None:
    for number in range(first, first + count):
        await start(session, base, f"c{number}")


async def ffmpegs(path: Path, size: Size) -> tuple[float, float]:
    """CPU and bytes of one ffmpeg that loops the file."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(path), "-c", "copy"]
    command += ["-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-y", "/dev/null"]
    running = [await asyncio.create_subprocess_exec(*command) for _ in range(size.peers)]
    try:
        await asyncio.sleep(SETTLE)
        pids = [process.pid for process in running]
        used = await load(pids, size.seconds)
        return used / size.peers, sum(map(memory, pids)) / size.peers
    finally:
        for process in running:
            process.kill()
            await process.wait()


async def first_fragment(path: Path) -> float:
    """Seconds until ffmpeg, as fast as it can, has written its first fragment."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-c", "copy", "-f", "mp4",
        "-movflags", "frag_keyframe+empty_moov+default_base_moof", "pipe:1", stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    data = b""
    while b"mdat" not in data:
        data += await process.stdout.read(65536)
    took = time.monotonic() - began
    process.kill()
    await process.wait()
    return took


def best(values: list[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]


async def run(size: Size) -> list[tuple[str, str, str]]:
    """Rows of name, figure and aim."""
    with tempfile.TemporaryDirectory(prefix="reelgate-loops-") as name:
        folder = Path(name)
        (folder / "media").mkdir()
        path = folder / "media" / FILE
        clip = ClipSettings(width=1280, height=720, bitrate=2_500_000, b_frames=2)
        sample.write_video(path, seconds=12, settings=clip)
        peer_cpu, peer_bytes = await ffmpegs(path, size)
        peer_first = best([await first_fragment(path) for _ in range(5)])
        async with gateway(folder) as (base, pid), aiohttp.ClientSession() as session:
            rows = await measure(session, base, pid, path, size)
    figures: dict[str, Any] = dict(rows)
    alone, watched, held = figures["alone"], figures["watched"], figures["bytes"]
    return [
        ("ffmpeg, CPU for each channel", f"{100 * peer_cpu:.3f} % of a core", ""),
        (f"{size.channels} channels alone, CPU for each", f"{100 * alone:.4f} %, {alone / peer_cpu:.3f} x", "<= 0.1 x"),
        ("with one HLS viewer each, CPU for each", f"{100 * watched:.4f} %, {watched / peer_cpu:.3f} x", "<= 0.15 x"),
        ("segments that each viewer got", f"{figures['served']:.2f} a second", "0.5"),
        ("ffmpeg, memory for each channel", f"{peer_bytes / 1e6:.1f} MB", ""),
        ("memory for each channel", f"{held / 1e3:.1f} kB, {held / peer_bytes:.4f} x", "<= 0.1 x"),
        (f"{size.idle} channels without viewers, CPU in all", f"{100 * figures['idle']:.2f} % of a core", "< 5 %"),
        ("ffmpeg until its first fragment", f"{1000 * peer_first:.0f} ms", ""),
        ("call to playable, packaged before", _beside(figures["warm"], peer_first), "<= 0.1 x"),
        ("call to playable, not packaged", _beside(figures["cold"], peer_first), "<= 0.5 x"),
    ]


def _beside(seconds: float, peer: float) -> str:
    return f"{1000 * seconds:.0f} ms, {seconds / peer:.2f} x"


async def measure(
    session: aiohttp.ClientSession, base: str, pid: int, path: Path, size: Size
) -> list[tuple[str, float]]:
    """The gateway's own figures."""
    await start(session, base, "warm-up")
    cold = []
    for number in range(5):
        other = path.with_name(f"cold{number}.mp4")
        await asyncio.to_thread(shutil.copyfile, path, other)
        cold.append(await start(session, base, f"cold{number}", other.name))
        await asyncio.sleep(1.0)
    warm = [await start(session, base, f"warm{number}") for number in range(5)]
    await asyncio.sleep(SETTLE)
    quiet, empty = await load([pid], size.seconds), memory(pid)
    await start_many(session, base, 0, size.channels)
    await asyncio.sleep(SETTLE)
    alone, held = await load([pid], size.seconds), memory(pid)
    viewers = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.loops", "--watch", base, str(size.channels), stdout=subprocess.PIPE
    )
    try:
        await asyncio.sleep(2 * SETTLE)
        watched = await load([pid], 2 * size.seconds)
    finally:
        viewers.kill()
        told, _ = await viewers.communicate()
    counts = [int(line) for line in told.split()]
    served = (counts[-2] - counts[len(counts) // 2]) / (len(counts) - 2 - len(counts) // 2) / size.channels
    await start_many(session, base, size.channels, max(0, size.idle - size.channels))
    await asyncio.sleep(SETTLE)
    idle = await load([pid], size.seconds)
    channels = size.channels
    return [
        ("alone", max(0.0, alone - quiet) / channels),
        # Viewers that the machine had no time for got less: what they got is scaled to what they wanted.
        ("watched", (watched - quiet) / channels * max(1.0, WANTED / max(served, 0.01))),
        ("bytes", (held - empty) / channels),
        ("idle", idle),
        ("served", served),
        ("warm", best(warm)),
        ("cold", best(cold)),
    ]


async def watch(base: str, count: int) -> None:
    """So many plain HLS viewers: each reads its playlist once a segment, and each segment once."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        got = [0]
        viewers = [_view(session, f"{base}/live/c{number}/", number / count, got) for number in range(count)]
        await asyncio.gather(_tell(got), *viewers)


async def _tell(got: list[int]) -> None:
    while True:
        print(got[0], flush=True)
        await asyncio.sleep(1.0)


async def _view(session: aiohttp.ClientSession, live: str, phase: float, got: list[int]) -> None:
    await asyncio.sleep(2 * phase)
    seen: set[str] = set()
    while True:
        began = time.monotonic()
        async with session.get(f"{live}media.m3u8", headers={"Accept-Encoding": "identity"}) as answer:
            answer.raise_for_status()
            lines = [line for line in (await answer.text()).splitlines() if line.startswith("segment-")]
        fresh = [line for line in lines[-3:] if line not in seen]
        seen |= set(fresh)
        for line in fresh:
            async with session.get(live + line) as answer:
                answer.raise_for_status()
                await answer.read()
                got[0] += 1
        await asyncio.sleep(max(0.1, float(Fraction(2)) - (time.monotonic() - began)))


def main() -> None:
    """Measures, or (as the process that this starts) watches."""
    if sys.argv[1:2] == ["--watch"]:
        asyncio.run(watch(sys.argv[2], int(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=500)
    parser.add_argument("--peers", type=int, default=10)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    rows = asyncio.run(run(Size(asked.channels, asked.peers, asked.idle, asked.seconds)))
    width = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(text.ljust(wide) for text, wide in zip(row, width, strict=True)).rstrip())


if __name__ == "__main__":
    main()
