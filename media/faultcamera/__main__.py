"""The command `python -m media.faultcamera`: serves one camera until it is told to stop."""

import argparse
import asyncio
import json
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Final

from media.faultcamera.faults import FAULTS, apply
from media.faultcamera.server import Camera
from media.faultcamera.settings import CODECS, SCHEMES, SOUNDS, CameraSettings, ClipSettings

FAULT_HELP: Final = "\n".join(
    f"  {verb.name}{'=' * bool(verb.value)}{verb.value}\n      {verb.text}" for verb in FAULTS.values()
)
CONTROL_HELP: Final = (
    "read commands from standard input, one a line, and stop at its end: a fault as for --fault, `drop` to close all "
    "connections, `expire_nonces`, `report` for one line of JSON; each is answered by one line"
)


def parse(arguments: Sequence[str]) -> tuple[CameraSettings, bool]:
    """The settings that the arguments ask for, and whether commands come by standard input. Exits with 2 if bad."""
    parser = argparse.ArgumentParser(
        prog="python -m media.faultcamera",
        description="A live RTSP camera of generated pictures and sound that can misbehave on command.",
        epilog=f"faults:\n{FAULT_HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = CameraSettings()
    parser.add_argument("--host", default=default.host, help="address to listen on")
    parser.add_argument("--port", type=int, default=8554, help="port to listen on; 0 takes any free one")
    parser.add_argument("--path", default=default.path)
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--auth", choices=SCHEMES, default=default.auth)
    parser.add_argument("--size", type=_size, default=(default.clip.width, default.clip.height), metavar="WxH")
    parser.add_argument("--fps", type=_fps, default=default.clip.fps, help="25, 29.97 or 30000/1001")
    parser.add_argument("--gop", type=float, default=default.clip.gop, help="seconds from key frame to key frame")
    parser.add_argument("--bitrate", type=int, default=default.clip.bitrate, help="bits a second")
    parser.add_argument("--b-frames", type=int, default=default.clip.b_frames)
    parser.add_argument("--codec", choices=CODECS, default=default.clip.codec)
    parser.add_argument("--sound", choices=SOUNDS, default=default.clip.sound)
    parser.add_argument("--no-audio", action="store_true")
    parser.add_argument("--session-timeout", type=int, default=default.session_timeout, help="seconds")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[=VALUE]", help="may be repeated")
    parser.add_argument("--control", action="store_true", help=CONTROL_HELP)
    given = parser.parse_args(arguments)
    try:
        width, height = given.size
        clip = ClipSettings(
            width=width,
            height=height,
            fps=given.fps,
            gop=given.gop,
            bitrate=given.bitrate,
            b_frames=given.b_frames,
            audio=not given.no_audio,
            codec=given.codec,
            sound=given.sound,
        )
        settings = CameraSettings(
            host=given.host,
            port=given.port,
            path=given.path,
            user=given.user,
            password=given.password,
            auth=given.auth,
            clip=clip,
            faults=tuple(given.fault),
            session_timeout=given.session_timeout,
        )
        Camera(settings)  # looks at the faults
    except ValueError as error:
        parser.error(str(error))
    return settings, given.control


def _fps(text: str) -> Fraction:
    try:
        return Fraction(text)
    except ZeroDivisionError as error:
        raise ValueError(text) from error


def _size(text: str) -> tuple[int, int]:
    width, x, height = text.partition("x")
    if not x:
        raise ValueError(text)
    return int(width), int(height)


def obey(camera: Camera, command: str) -> str:
    """Does one command of standard input and gives the line to answer."""
    match command:
        case "drop":
            camera.drop()
        case "expire_nonces":
            camera.expire_nonces()
        case "report":
            return json.dumps(report(camera))
        case _:
            try:
                apply(camera, command)
            except ValueError as error:
                return f"error {error}"
    return "ok"


def report(camera: Camera) -> dict[str, object]:
    """What the camera has seen, as JSON takes it."""
    return {
        "connects": camera.connects,
        "clients": camera.clients,
        "sessions": len(camera.sessions),
        "teardowns": camera.teardowns,
        "resets": camera.resets,
        "requests": [{"at": seen.at, "method": seen.method, "url": seen.url} for seen in camera.requests],
    }


async def serve(settings: CameraSettings, *, control: bool) -> None:
    """Runs a camera until a signal comes or, under control, standard input ends. Raises `OSError` for a port in use."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Camera(settings) as camera:
        print(f"camera ready {camera.url}", flush=True)
        if control:
            threading.Thread(target=_listen, args=(camera, loop, stop), name="camera control", daemon=True).start()
        await stop.wait()


def _listen(camera: Camera, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Runs in a thread, which takes whatever standard input is; an event loop refuses files and `/dev/null`."""

    def take(line: bytes) -> None:
        print(obey(camera, line.decode(errors="replace").strip()), flush=True)

    with suppress(RuntimeError):  # the loop is closed: a signal was faster
        with open(0, "rb", buffering=0, closefd=False) as commands:  # no buffer, whose lock would outlive the thread
            for line in commands:
                loop.call_soon_threadsafe(take, line)
        loop.call_soon_threadsafe(stop.set)


def main() -> None:
    """Exits with 0 after a signal, with 2 for bad arguments or a port that cannot be had."""
    settings, control = parse(sys.argv[1:])
    try:
        asyncio.run(serve(settings, control=control))
    except OSError as error:
        reason = error.strerror or error
        print(f"camera: cannot listen on {settings.host} port {settings.port}: {reason}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
