"""Latency from glass to glass: the frame number that the camera drew, read back from the browser's video."""

import time
from dataclasses import dataclass
from typing import Any, Final

from playwright.async_api import Page

from media.faultcamera.clip import marks
from media.faultcamera.server import Camera

READ: Final = """([side, blocks]) => {
  const video = document.querySelector("video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [side * blocks, 1];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const row = video.videoHeight - side / 2;
  context.drawImage(video, 0, row, side * blocks, 1, 0, 0, side * blocks, 1);
  const now = Date.now() / 1000;
  const pixels = context.getImageData(0, 0, side * blocks, 1).data;
  const light = (at) => 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2]; // the blocks have colours
  return [now, Array.from({ length: blocks }, (_, block) => +(light(4 * (block * side + side / 2)) > 118))];
}"""


@dataclass(frozen=True)
class Glass:
    """Reads the latency of a page that plays a camera whose clip is `seconds` long, more than any latency."""

    camera: Camera
    seconds: float

    async def latency(self, page: Page) -> float | None:
        """Seconds from the moment that a picture was due in the camera to now; None when no number can be read."""
        settings = self.camera.settings.clip
        offset = time.time() - self.camera.clock()
        answer: tuple[float, list[int]] = await page.evaluate(READ, [marks.block_size(settings.width), marks.BLOCKS])
        now, seen = answer
        number = int("".join(map(str, seen[len(marks.SIGNATURE) : -1])), 2)
        if tuple(seen) != marks.blocks(number):
            return None
        return float((now - offset - number / float(settings.fps)) % self.seconds)


async def latencies(glass: Glass, page: Page, count: int, pause: float = 0.25) -> list[float]:
    """So many readings, sorted."""
    found: list[float] = []
    for _ in range(2 * count):
        if len(found) == count:
            return sorted(found)
        await page.wait_for_timeout(pause * 1000)
        value = await glass.latency(page)
        if value is not None:
            found.append(value)
    raise AssertionError(f"only {len(found)} of {2 * count} pictures had a number that can be read")


def middle(values: list[Any]) -> Any:
    """The median of sorted values."""
    return values[len(values) // 2]
