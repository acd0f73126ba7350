"""Reading and checking a picture before it is used: `/watermark/startup`."""

from dataclasses import asdict
from typing import Any, Final

from pydantic import Field

from gateway.jobs.job import Progress
from gateway.kinds.kind import Ask, Kind, Params, Plan, Services, as_failure
from gateway.kinds.mediafile import media_file
from media.pictures.picture_store import Picture, Reading


class WatermarkParams(Params):
    """`watermark` is a file below the media folder."""

    watermark: str = Field(min_length=1, max_length=1024)


class ReadPicture:
    """The work of one job: a worker decodes the picture under limits and says what it is."""

    def __init__(self, reading: Reading, warnings: dict[str, str]) -> None:
        self._reading = reading
        self._warnings = warnings
        self._picture: Picture | None = None

    async def run(self, progress: Progress) -> None:
        progress.stage("reading")
        with as_failure():
            self._picture = await self._reading.run()
        self._reading.let_go()

    def publish(self) -> dict[str, Any]:
        if self._picture is None:
            raise RuntimeError("there is no picture to publish")
        warnings = self._warnings | self._picture.warnings
        told = [{"code": code, "detail": detail} for code, detail in warnings.items()]
        return asdict(self._picture) | {"warnings": told}

    async def stop(self) -> None:
        await self._reading.stop()

    def kill(self) -> None:
        self._reading.kill()


async def plan(params: WatermarkParams, ask: Ask, parts: Services) -> Plan:
    """Looks that the file is there and is a regular one."""
    path = await media_file(params.watermark, "watermark", "image-not-found", parts)
    work = ReadPicture(parts.pictures.reading(path), ask.warnings())
    return Plan((), {"watermark": params.watermark}, work)


KIND: Final = Kind(
    name="watermark.startup",
    path="/watermark/startup",
    pool="picture",
    params=WatermarkParams,
    plan=plan,
    result="picture",
    example={"watermark": "logo.png"},
)
