"""What is packaged plays in Chromium by MSE, under the codecs that are said of it: the strictest player there is."""

import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.media.channel.worker.test_package_play import packaged, rounds
from tests.peers.chromium import CHROMIUM, chromium
from tests.support.mp4_editing import edited, turned

pytestmark = [
    pytest.mark.media,
    pytest.mark.debian,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs Debian's chromium"),
]

LIMIT: Final = 40_000  # ms
PLAIN: Final = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -bf 0 -c:a aac"

PLAY: Final = """async ({ data, type }) => {
  if (!MediaSource.isTypeSupported(type)) return { refused: type };
  const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
  const video = document.createElement("video");
  const source = new MediaSource();
  video.muted = true;
  video.src = URL.createObjectURL(source);
  await new Promise((go) => source.addEventListener("sourceopen", go, { once: true }));
  const buffer = source.addSourceBuffer(type);
  buffer.appendBuffer(bytes);
  await new Promise((go) => buffer.addEventListener("updateend", go, { once: true }));
  if (source.readyState === "open") source.endOfStream();
  const over = new Promise((go) => ["ended", "error"].forEach((one) => video.addEventListener(one, go)));
  video.playbackRate = 4;
  await video.play().catch(() => {});
  await over;
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  return {
    error: video.error ? video.error.message : "",
    size: [video.videoWidth, video.videoHeight],
    seconds: video.currentTime,
    pictures: totalVideoFrames,
  };
}"""


def made(words: str) -> Callable[[Path], Path]:
    """A file of two seconds that ffmpeg writes with these options."""

    def write(path: Path) -> Path:
        source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2"]
        sound = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=48000"]
        command = ["ffmpeg", "-v", "error", *source, *sound, *words.split(), "-strict", "-2", str(path)]
        subprocess.run(command, timeout=60, check=True)
        return path

    return write


def with_sei(path: Path) -> Path:
    """Supplemental information says that it is longer than it is; the index lies at the end, so nothing moves."""
    made(PLAIN)(path)
    data = path.read_bytes()
    at = data.index(b"\x06\x05\xff\xff")  # the encoder's settings: a type, and a size of which the first bytes are full
    path.write_bytes(data[: at + 4] + bytes([data[at + 4] + 1]) + data[at + 5 :])
    return path


def with_another_profile(path: Path) -> Path:
    """The record says Baseline, and its parameter sets say High."""
    made(PLAIN.replace("-bf 0", "-bf 2 -profile:v high"))(path)
    data = path.read_bytes()
    at = data.index(b"avcC") + 5
    path.write_bytes(data[:at] + b"\x42\xc0\x0b" + data[at + 3 :])
    return path


FILES: Final[dict[str, tuple[Callable[[Path], Path], tuple[int, int]]]] = {
    "plain": (made(PLAIN), (320, 180)),
    "B-frames": (made(PLAIN.replace("-bf 0", "-bf 2")), (320, 180)),
    "MP3": (made(PLAIN.replace("aac", "libmp3lame")), (320, 180)),
    "MP2": (made(PLAIN.replace("aac", "mp2")), (320, 180)),
    "Opus": (made(PLAIN.replace("aac", "libopus")), (320, 180)),
    "Opus of 2.5 ms": (made(PLAIN.replace("aac", "libopus -frame_duration 2.5")), (320, 180)),
    "AAC that describes its channels": (made(PLAIN + " -af pan=2.1|FL=c0|FR=c0|LFE=c0"), (320, 180)),
    "AAC of 16 kHz": (made(PLAIN + " -ar 16000"), (320, 180)),
    "4:2:2": (made(PLAIN.replace("yuv420p", "yuv422p")), (320, 180)),
    "10 bits": (made(PLAIN.replace("yuv420p", "yuv420p10le")), (320, 180)),
    "an SEI that is too long": (with_sei, (320, 180)),
    "another profile": (with_another_profile, (320, 180)),
    "turned": (lambda path: turned(made(PLAIN)(path), 6), (180, 320)),
    "wide pixels": (made(PLAIN + " -aspect 2:1"), (360, 180)),
    "trimmed": (lambda path: edited(made(PLAIN)(path), b"vide", (1.4, 0.6)), (320, 180)),
}


async def test_chromium_plays_whatever_is_packaged_by_mse(tmp_path: Path) -> None:
    async with chromium() as browser:
        page = await browser.new_page()
        page.set_default_timeout(LIMIT)
        for number, (name, (write, size)) in enumerate(FILES.items()):
            index, _ = packaged(write(tmp_path / f"{number}.mp4"), tmp_path / str(number))
            film = rounds(index, tmp_path / str(number), 2)
            asked = {"data": b64encode(film).decode(), "type": f'video/mp4; codecs="{index.head.init.codecs}"'}
            told = await page.evaluate(PLAY, asked)
            assert told.get("error") == "", (name, told)
            assert told["size"] == list(size), (name, told)
            assert told["seconds"] == pytest.approx(float(2 * index.seconds), abs=0.2), (name, told)
            assert told["pictures"] > 0, (name, told)
