"""Reading and checking a picture before it is used: `/watermark/startup`."""

import asyncio
from typing import Any, Final

from pydantic import Field

from gateway.jobs.job import Progress
from gateway.kinds.kind import Ask, Kind, Params, Parts, Plan, as_failure
from gateway.kinds.names import file_below
from media.faults import Fault
from media.messages import Failed, Finished, Message, Phase, Start
from media.workers import Worker, Workers


class WatermarkParams(Params):
    """`watermark` is a file below the media folder."""

    watermark: str = Field(min_length=1, max_length=1024)


class ReadPicture:
    """The work of one job: a worker decodes the picture under limits and says what it is."""

    def __init__(self, workers: Workers, start: Start, warnings: dict[str, str]) -> None:
        self._workers = workers
        self._start = start
        self._warnings = warnings
        self._worker: Worker | None = None
        self._last: Message | None = None

    async def run(self, progress: Progress) -> None:
        progress.stage("reading")
        self._worker = self._workers.spawn(self._start, self._on_message)
        status = await asyncio.shield(self._worker.gone)
        with as_failure():
            if isinstance(self._last, Failed):
                raise Fault(self._last.code, self._last.detail, self._last.phase)
            if not isinstance(self._last, Finished):
                raise Fault("worker-crashed", f"The picture's worker ended with {status} and no result.", "decoding")

    def publish(self) -> dict[str, Any]:
        if not isinstance(self._last, Finished):
            raise RuntimeError("there is no picture to publish")
        warnings = [{"code": code, "detail": detail} for code, detail in self._warnings.items()]
        return {**self._last.info, "warnings": warnings}

    async def stop(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            await asyncio.shield(self._worker.gone)

    def kill(self) -> None:
        if self._worker is not None:
            self._worker.kill()

    def _on_message(self, message: Message) -> None:
        if not isinstance(message, Phase):
            self._last = message


async def plan(params: WatermarkParams, ask: Ask, parts: Parts) -> Plan:
    """Looks that the file is there and is a regular one."""
    root = parts.settings.media_dir
    path = await parts.files.library.on_disk(file_below, root, params.watermark, "watermark", "image-not-found")
    start = Start("picture", {"path": str(path)})
    echo = {"watermark": params.watermark}
    return Plan((), echo, ReadPicture(parts.workers, start, ask.warnings()))


KIND: Final = Kind(
    name="watermark.startup",
    path="/watermark/startup",
    pool="picture",
    params=WatermarkParams,
    plan=plan,
)
