"""README's "Where do I add ..." is true: in a copy of the tree a toy of each is added as it says, and then works."""

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.support.served import call

ROOT: Final = Path(__file__).parents[1]

KIND: Final = '''"""A toy kind: says what it was told."""

from typing import Any, Final

from gateway.jobs.job import Progress
from gateway.kinds.kind import Ask, Kind, Params, Plan, Services


class EchoParams(Params):
    text: str


class Echo:
    def __init__(self, text: str) -> None:
        self._text = text

    async def run(self, progress: Progress) -> None:
        progress.stage("echoing")

    def publish(self) -> dict[str, Any]:
        return {"text": self._text}

    async def stop(self) -> None: ...

    def kill(self) -> None: ...


async def plan(params: EchoParams, ask: Ask, parts: Services) -> Plan:
    return Plan((), {"text": params.text}, Echo(params.text))


KIND: Final = Kind("toy.echo", "/toy/echo", "picture", EchoParams, plan, result="other", example={"text": "hello"})
'''

SOURCE: Final = '''"""A toy source: its look finds nothing out, and its worker makes the pictures itself."""

from collections.abc import Callable
from typing import Any, Final

from media.camera.attempt import EpochStart, SourceKind
from media.camera.preflight import Described
from media.camera.spec import CameraSpec
from media.net.addresses import AddressPolicy
from media.rtsp.sdp import MediaDescription


async def look(spec: CameraSpec, policy: AddressPolicy, enter: Callable[[str], None]) -> Described:
    enter("describing")
    track = MediaDescription("video", "h264", 90000)
    return Described(
        "127.0.0.1", 1, spec.uri, redirected=False, credentials=True, authentication="", relay=False, options=True,
        tracks=(track,), warnings=(), server="", public=(), timings={},
    )  # fmt: skip


def order(spec: CameraSpec, place: EpochStart) -> dict[str, Any]:
    return {"notBefore": place.not_before}


PATTERN: Final = SourceKind("pattern", look, order)
'''

WORKER: Final = '''"""The worker of the toy source: FFmpeg's test pattern, live."""

from fractions import Fraction
from typing import Any

import av

from media.codecs.h264_encoder import Encoder, EncoderRate, PictureForm
from media.mp4 import fmp4
from media.process.gateway_socket import GatewaySocket
from media.process.messages import ChunkMade, InitMade, Stats, TaskReady
from media.timing.clock import VIDEO_RATE


def run(channel: GatewaySocket, spec: dict[str, Any]) -> None:
    encoder = Encoder(PictureForm(320, 180, Fraction(1), 2, 2, 2), EncoderRate(5.0, None, Fraction(1)), None)
    began, ticks = round(spec["notBefore"] * VIDEO_RATE), VIDEO_RATE // 5
    init = InitMade.of(encoder.init)
    channel.send(init)
    with av.open("testsrc2=size=320x180:rate=5", format="lavfi") as container:
        for number, frame in enumerate(container.decode(video=0)):
            picture = frame.reformat(format="yuv420p")
            picture.pts, picture.time_base = number * ticks, Fraction(1, VIDEO_RATE)
            for stamp, sample, key in encoder.encode(picture, key=number % 5 == 0):
                data = fmp4.fragment(1, number + 1, began + stamp, [fmp4.Sample(sample, ticks, 0, key)])
                channel.send(ChunkMade(began + stamp, ticks, key, number == 0, data))
            if number == 0:
                channel.send(TaskReady({"video": init.video, "audio": None, "transport": "toy"}))
            channel.send(Stats({}))
            if channel.rest(0.2):
                return
'''

SOURCE_KIND: Final = '''"""Opens the toy source: `/toy/startup`."""

from dataclasses import replace
from functools import partial
from typing import Final

from gateway.kinds.kind import Ask, Kind, Params, Plan, Services
from gateway.kinds.live_source import OpenCamera
from gateway.kinds.names import StreamName
from media.camera.attempt import Attempt
from media.camera.spec import CameraSpec
from media.camera.stream import CameraStream
from media.stream import Identity
from media.toy.source import PATTERN


class ToyParams(Params):
    local_stream_name: StreamName


async def plan(params: ToyParams, ask: Ask, parts: Services) -> Plan:
    name = params.local_stream_name
    cameras = replace(parts.cameras, attempt=partial(Attempt, kind=PATTERN))
    identity = Identity(name, "toy", "toy://pattern", False, parts.wall(), ask.job_id)
    stream = CameraStream(identity, CameraSpec("toy://pattern", transport="tcp"), cameras)
    return Plan((f"name:{name}",), {"localStreamName": name}, OpenCamera(stream, parts))


KIND: Final = Kind("toy.startup", "/toy/startup", "camera", ToyParams, plan)
'''

WATCHING: Final = '''"""A toy way of watching: the sizes of a stream's next chunks, as text."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.jobs.failures import Failure
from media.cursor import Cursor
from media.ring import Ring

CHUNKS = 5


def handler(ring: Callable[[str], Ring | None]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def sizes(request: web.Request) -> web.Response:
        found = ring(request.match_info["name"])
        if found is None:
            raise Failure("not-found", "There is no such stream.")
        cursor, lines = Cursor(found), []
        while len(lines) < CHUNKS:
            step = await cursor.step()
            if step is not None:
                lines.append(f"{step.chunk.number} {len(step.chunk.data)}")
            elif cursor.waits and not await found.wait(cursor.number):
                break
        return web.Response(text="\\n".join(lines))

    return sizes
'''

FAULT: Final = '''    @verb("SECONDS", _number)
    def sleepy(self, seconds: float) -> None:
        """Answer every request so many seconds late."""
        for method in METHODS:
            self.delay(method, seconds)

'''


@dataclass(frozen=True, slots=True)
class Addition:
    """What is added: whole files (path -> text), and rows (path, the line that they stand before, what is put in)."""

    files: dict[str, str]
    rows: tuple[tuple[str, str, str], ...]


ADDITIONS: Final = {
    "a kind of job": Addition(
        {"gateway/kinds/echo.py": KIND},
        (
            ("gateway/kinds/__init__.py", "from gateway.kinds.kind import Kind\n", "from gateway.kinds import echo\n"),
            ("gateway/kinds/__init__.py", "    snapshot.KIND,\n", "    echo.KIND,\n"),
            ("pyproject.toml", ' | snapshot"', " | echo"),
        ),
    ),
    "a source": Addition(
        {
            "media/toy/__init__.py": '"""A toy."""\n',
            "media/toy/source.py": SOURCE,
            "media/toy/worker/__init__.py": '"""A toy."""\n',
            "media/toy/worker/pattern.py": WORKER,
        },
        (
            (
                "media/process/worker/tasks.py",
                "from media.transcoding.worker import calibrate",
                "from media.toy.worker import pattern\n",
            ),
            ("media/process/worker/tasks.py", '    "package": ', '    "pattern": Task(pattern.run, 2 * GIB, None),\n'),
        ),
    ),
    "the kind that opens the source": Addition(
        {"gateway/kinds/toy.py": SOURCE_KIND},
        (
            ("gateway/kinds/__init__.py", "from gateway.kinds.kind import Kind\n", "from gateway.kinds import toy\n"),
            ("gateway/kinds/__init__.py", "    snapshot.KIND,\n", "    toy.KIND,\n"),
            ("pyproject.toml", ' | snapshot"', " | toy"),
        ),
    ),
    "a way of watching": Addition(
        {"gateway/web/watch/sizes.py": WATCHING},
        (
            (
                "gateway/web/watch/play.py",
                "from gateway.web.watch.viewers import",
                "from gateway.web.watch import sizes\n",
            ),
            (
                "gateway/web/watch/play.py",
                '        web.get(f"{LIVE}/mse", play.mse),\n',
                '        web.get(f"{LIVE}/sizes", sizes.handler(streams.ring)),\n',
            ),
        ),
    ),
    "a fault of the camera": Addition({}, (("media/faultcamera/faults.py", "    @verb()\n    def heal(self", FAULT),)),
}


def touched(addition: Addition) -> tuple[int, int]:
    """How many files are new, and how many that were there are changed."""
    return len(addition.files), len({path for path, _, _ in addition.rows})


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product with all toys in it."""
    copy = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in ("gateway", "media"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for addition in ADDITIONS.values():
        for name, text in addition.files.items():
            (copy / name).parent.mkdir(exist_ok=True)
            (copy / name).write_text(text)
        for name, before, row in addition.rows:
            text = (copy / name).read_text()
            assert text.count(before) == 1, (name, before)
            (copy / name).write_text(text.replace(before, row + before))
    return copy


def test_each_addition_touches_as_few_files_as_readme_says() -> None:
    assert {what: touched(addition) for what, addition in ADDITIONS.items()} == {
        "a kind of job": (1, 2),
        "a source": (4, 1),
        "the kind that opens the source": (1, 2),
        "a way of watching": (1, 1),
        "a fault of the camera": (0, 1),
    }


def test_the_import_contracts_hold_for_what_is_added(tree: Path) -> None:
    linted = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert linted.returncode == 0, linted.stdout


async def test_what_is_added_as_readme_says_works(tree: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(tree), "HTTP_PORT": "0"}
    for name in ("DATA_DIR", "CACHE_DIR", "MEDIA_DIR"):
        env[name] = str(tmp_path / name.lower())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", env=env, cwd=tree, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            url = (await process.stdout.readline()).decode().split()[-1]
            assert await call(url, "/toy/echo", {"text": "hello"}) == {"text": "hello"}
            stream = await call(url, "/toy/startup", {"localStreamName": "pattern"}, "wait=30")
            assert (stream["status"], stream["kind"], stream["video"]["width"]) == ("LIVE", "toy", 320)
            async with aiohttp.ClientSession() as session, session.get(f"{url}/live/pattern/sizes") as answer:
                numbers = [int(line.split()[0]) for line in (await answer.text()).splitlines()]
                told = await (await session.get(f"{url}/openapi.json")).json()
            assert {"/rest-api/v3/toy/echo", "/rest-api/v3/toy/startup"} <= set(told["paths"])
            assert len(numbers) == 5
            assert numbers == list(range(numbers[0], numbers[0] + 5))
    finally:
        process.terminate()
        await process.wait()


async def test_a_fault_that_is_added_is_known_to_the_camera(tree: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "media.faultcamera", "--help",
        env={**os.environ, "PYTHONPATH": str(tree)}, cwd=tree, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    told, _ = await process.communicate()
    assert "sleepy=SECONDS" in told.decode()
    assert "Answer every request so many seconds late." in told.decode()
