"""A camera in a process of its own, for callers without an event loop: blocking tests, benchmarks."""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import media

START_TIMEOUT: Final = 60.0  # seconds; a machine with nothing else to do needs one or two
ANSWER_TIMEOUT: Final = 20.0
EXIT_TIMEOUT: Final = 5.0
READY: Final = "camera ready "


class CameraProcess:
    """`with CameraProcess("--fps", "10") as camera:` runs a fault camera on a free port until the block ends.

    The camera also ends when this process does, however that dies. Entering raises `RuntimeError` when the camera does
    not start; it has then said why on standard error.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._pending = b""
        self.url = ""

    def __enter__(self) -> Self:
        root = str(Path(media.__file__).parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "media.faultcamera", "--control", "--port", "0", *self._arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
        )
        try:
            line = self._line(START_TIMEOUT)
        except RuntimeError:
            self._stop()
            raise
        self.url = line.removeprefix(READY)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def do(self, command: str) -> None:
        """Gives one command: `drop`, `expire_nonces` or a fault as `NAME[=VALUE]`. It is in force on return.

        Raises `ValueError` for a command that the camera does not know.
        """
        answer = self._ask(command)
        if answer != "ok":
            raise ValueError(answer.removeprefix("error "))

    def report(self) -> dict[str, Any]:
        """What the camera has seen: `connects`, `clients`, `sessions`, `teardowns`, and `requests` as a list."""
        seen: dict[str, Any] = json.loads(self._ask("report"))
        return seen

    def _ask(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        return self._line(ANSWER_TIMEOUT)

    def _line(self, timeout: float) -> str:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        end = time.monotonic() + timeout
        while b"\n" not in self._pending:
            readable, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            data = os.read(pipe, 65536) if readable else b""
            if not data:
                raise RuntimeError("the camera has ended" if readable else f"the camera said nothing for {timeout} s")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
