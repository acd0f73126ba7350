"""The command line: the demo comes up and leaves nothing, and what cannot be served is refused with a reason."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from pydantic import ValidationError

from gateway import demo
from gateway.settings import Settings
from tests.support.processes import below, state, until

ROOT = Path(__file__).parents[2]


async def refused(*arguments: str, **environment: str) -> str:
    """What the command says on standard error when it ends with 2."""
    return await refused_in(ROOT, *arguments, **environment)


async def refused_in(folder: Path, *arguments: str, **environment: str) -> str:
    """The same, with that folder's settings.env."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder,
    )  # fmt: skip
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 2, err.decode()
    return err.decode()


def folders(tmp_path: Path) -> dict[str, str]:
    return {f"{name}_DIR": str(tmp_path / name.lower()) for name in ("MEDIA", "DATA", "CACHE")}


async def test_listening_to_the_world_without_keys_is_refused(tmp_path: Path) -> None:
    assert "refusing to listen on 0.0.0.0" in await refused("serve", HTTP_HOST="0.0.0.0", **folders(tmp_path))


async def test_a_setting_that_cannot_be_is_named(tmp_path: Path) -> None:
    said = await refused("serve", HLS_WINDOW="none", **folders(tmp_path))
    assert "hls_window" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["serve", "demo", "keys", "webhooks"])
async def test_a_line_of_the_settings_file_that_would_be_lost_is_refused_with_its_number(
    tmp_path: Path, command: str
) -> None:
    secret = "whsec_Y2FuYXJ5"
    wrong = f"\n\nwebhook_secret {secret}\nHLS_WINDOW\n# x\nhtp_port=\nRATE_LIMIT=1\nrate_limit="
    (tmp_path / "settings.env").write_text("HTTP_PORT=0\n" + wrong)
    said = await refused_in(tmp_path, command, *(["list"] if command in ("keys", "webhooks") else []))
    assert [line for line in said.splitlines() if "line" in line] == [
        "reelgate: settings.env has lines that cannot be:",
        "  line 4 sets nothing: a line is NAME=VALUE, or begins with #",
        "  line 5 sets nothing: a line is NAME=VALUE, or begins with #",
        "  line 7: there is no setting 'htp_port'",
        "  line 8: rate_limit is set 2 times",
        "  line 9: rate_limit is set 2 times",
    ]
    assert secret not in said
    assert "Traceback" not in said


async def test_a_settings_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "settings.env").write_bytes(b"MEDIA_DIR=\xe4\n")
    assert "reelgate: settings.env is not a text in UTF-8" in await refused_in(tmp_path, "serve")
    (tmp_path / "settings.env").unlink()
    (tmp_path / "settings.env").mkdir()
    assert "reelgate: settings.env cannot be read: Is a directory" in await refused_in(tmp_path, "serve")


async def test_the_demo_tells_what_is_wrong_with_a_setting(tmp_path: Path) -> None:
    said = await refused("demo", HLS_WINDOW="none", **folders(tmp_path))
    assert "hls_window" in said
    assert "Traceback" not in said


WRONG_SITES = (
    *("foo", "portal.example", "https://", "https://portal.example/", "https://Portal.example", "https://a b"),
    "https://*.portal.example",
    *("https://me@portal.example", "https://portal.example:99999", "https://portal.example, foo", "null"),
)


@pytest.mark.parametrize("sites", WRONG_SITES)
def test_a_site_that_no_browser_would_name_is_refused(sites: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", sites)
    with pytest.raises(ValidationError, match="cors_origins"):
        Settings()


def test_sites_are_taken_as_browsers_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = ("https://portal.example", "http://10.0.0.5:8080", "http://[fd00::1]:80", "capacitor://localhost", "*")
    monkeypatch.setenv("CORS_ORIGINS", ", ".join(sites))
    assert Settings().cors_origins == sites


async def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = await refused("serve", HTTP_PORT=port, **folders(tmp_path))
    assert port in said
    assert "Traceback" not in said


async def test_a_store_of_another_gateway_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "reelgate.db").write_bytes(b"this is no database" * 100)
    said = await refused("serve", HTTP_PORT="0", **folders(tmp_path))
    assert "reelgate.db" in said
    assert "Traceback" not in said


@pytest.mark.media
async def test_the_demo_comes_up_plays_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "demo",
        env={**os.environ, "HTTP_PORT": "0", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    shown = b""
    async with asyncio.timeout(100):
        while b"All streams" not in shown:
            line = await process.stdout.readline()
            assert line, shown.decode()
            shown += line
    found = re.search(rb"http://127\.0\.0\.1:\d+", shown)
    assert found is not None
    async with aiohttp.ClientSession(found[0].decode()) as session:
        async with session.get("/rest-api/v3/stream/find_all") as answer:
            streams = await answer.json()
        async with session.get("/live/channel/index.m3u8") as playlist:
            assert (await playlist.text()).startswith("#EXTM3U")
    assert {stream["name"]: stream["status"] for stream in streams} == {"camera": "LIVE", "channel": "LIVE"}
    pids = below(process.pid)  # also those that it put into sessions of their own
    assert len(pids) >= 3  # the camera, the fork server, the camera's worker
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        shown += await process.stdout.read()
        assert await process.wait() == 0
    await until(lambda: all(state(pid) in ("", "Z") for pid in pids))
    assert not await asyncio.to_thread(os.listdir, tmp_path)
    url = found[0].decode()
    camera = re.search(r"rtsp://\S+(?=\))", shown.decode())
    assert camera is not None
    banner = demo.TEXT.format(url=url, camera=camera[0])
    assert shown.decode() == f"Making sample media ...\n{banner}\n\nEnding ...\n"
