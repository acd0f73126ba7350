"""The work of a job that opens a live source: one attempt, then a stream that is kept."""

from typing import Any

from gateway.jobs.job import Progress
from gateway.kinds.kind import Services, as_failure
from media.camera.stream import CameraStream


class OpenCamera:
    """The work of one job: the first attempt at a camera."""

    def __init__(self, stream: CameraStream, parts: Services) -> None:
        self._stream = stream
        self._catalog = parts.catalog

    async def run(self, progress: Progress) -> None:
        self._stream.on_phase = progress.stage
        with as_failure():
            await self._stream.open(progress.budget())

    def publish(self) -> dict[str, Any]:
        self._catalog.publish(self._stream)
        self._stream.keep()
        return self._stream.record()

    async def stop(self) -> None:
        await self._stream.stop()

    def kill(self) -> None:
        self._stream.kill()
