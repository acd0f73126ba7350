"""Rows W1 to W15 of the torture list: pictures good and hostile, and what they do to a stream that is watched.

Uploads of row W10 are in tests/api/test_files.py; the swaps of W12 in test_pictures_swapped.py.
"""

import asyncio
import os
import struct
import threading
import zlib
from contextlib import AbstractAsyncContextManager
from functools import cache
from pathlib import Path

import pytest

from gateway.kinds import mediafile
from media.effects import pixels
from media.pictures import picture_store as store
from media.pictures.worker.read_picture import MAX_FILE
from tests.support import torture_pictures
from tests.support.api import Answer, Api
from tests.support.pictures import Pixel, by_ffmpeg, chunk, encoded, header, pixels_of, plain, png, raw_png, with_exif
from tests.support.torture_pictures import GREY, HEIGHT, WIDTH, change, check, put, start

pytestmark = pytest.mark.media

RED: Pixel = (255, 0, 0, 255)
BLUE: Pixel = (0, 0, 255, 255)
CODES = {"image-corrupt", "image-too-large", "limits-exceeded"}


@pytest.fixture
def gateway_here(tmp_path: Path) -> AbstractAsyncContextManager[Api]:
    """The gateway of the fixture `api`."""
    return torture_pictures.gateway(tmp_path)


def test_w1_all_sorts_of_png_become_the_same_straight_colours() -> None:
    two = [RED, (0, 0, 255, 128)]
    assert pixels_of(png(two, 2)) == two
    palette = chunk(b"PLTE", bytes((255, 0, 0, 0, 0, 255))) + chunk(b"tRNS", bytes((255, 128)))
    assert pixels_of(raw_png(2, 1, 8, 3, bytes((0, 1)), palette)) == two
    deep = struct.pack(">8H", 65535, 0, 0, 65535, 0, 0, 65535, 32896)
    for got, meant in zip(pixels_of(raw_png(2, 1, 16, 6, deep)), two, strict=True):
        assert all(abs(a - b) <= 1 for a, b in zip(got, meant, strict=True))  # swscale rounds 16 bits up
    assert pixels_of(raw_png(2, 1, 8, 4, bytes((200, 255, 100, 128)))) == [(200, 200, 200, 255), (100, 100, 100, 128)]
    assert pixels_of(plain(RED, 1, 1)) == [RED]


async def test_w1_a_picture_is_read_by_a_job_that_says_what_it_is(api: Api) -> None:
    put(api, "one.png", plain(RED, 1, 1))
    answer = await check(api, "one.png")
    assert answer.status == 200, answer.body
    found = answer.body
    assert (found["width"], found["height"], found["format"], found["warnings"]) == (1, 1, "png", [])
    assert len(found["sha256"]) == 64
    put(api, "nothing.png", plain((9, 9, 9, 0), 8, 8))
    assert [each["code"] for each in (await check(api, "nothing.png")).body["warnings"]] == ["image-transparent"]


@cache
def compressed(size: int) -> bytes:
    """So many zeros, packed."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def profile_bomb() -> bytes:
    """A small picture whose colour profile unpacks to 128 MiB."""
    bomb = compressed(1 << 27)
    extra = chunk(b"iCCP", b"x\0\0" + bomb) + chunk(b"zTXt", b"x\0\0" + bomb)
    return png([RED] * 64, 8, extra=extra)


def pixel_bomb() -> bytes:
    """A small picture whose pixels unpack to 128 MiB."""
    ihdr = struct.pack(">IIBBBBB", 8, 8, 8, 6, 0, 0, 0)
    return header(8, 8)[:8] + chunk(b"IHDR", ihdr) + chunk(b"IDAT", compressed(1 << 27)) + chunk(b"IEND", b"")


def memory() -> int:
    """The most this process ever held, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


async def test_w3_bombs_and_chunks_without_end_cost_nobody_anything(api: Api) -> None:
    put(api, "profile.png", profile_bomb())
    put(api, "pixels.png", pixel_bomb())
    put(api, "chunks.png", header(8, 8, chunk(b"tEXt", b"x\0y") * 100_000))
    put(api, "large.png", header(50_000, 50_000))
    put(api, "short.png", encoded("png", "rgba", 512, 512)[:-20])
    put(api, "good.png", plain(RED, 8, 8))
    await check(api, "good.png")  # the fork server is up
    before, loop = memory(), asyncio.get_running_loop()
    ignored = await check(api, "profile.png")
    assert (ignored.status, ignored.body["width"]) == (200, 8)  # what is in the profile is never unpacked
    times: dict[str, list[float]] = {}
    for name in ("pixels", "chunks", "large", "short"):
        times[name] = []
        for _ in range(5):
            began = loop.time()
            answer = await check(api, f"{name}.png")
            times[name].append(loop.time() - began)
            assert answer.status == 422, (name, answer.body)
            assert answer.body["code"] in CODES
    print({name: round(min(each) * 1000) for name, each in times.items()}, "ms")
    assert max(min(each) for each in times.values()) < 0.5
    assert memory() - before < 8 * 1024


async def test_w5_an_svg_is_refused_and_nothing_of_it_is_followed(api: Api) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>x</script><image href="file:///etc/hostname"/></svg>'
    for data in (svg.encode(), b'<?xml version="1.0"?>\n' + svg.encode()):
        put(api, "logo.png", data)
        answer = await check(api, "logo.png")
        assert (answer.status, answer.body["code"]) == (422, "image-not-supported")
        assert "SVG" in answer.body["detail"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_w6_a_picture_is_upright_whatever_its_camera_wrote(orientation: int) -> None:
    # Upright it is red above and left, green above and right, blue below and left, white below and right.
    upright = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    stored = {
        1: (0, 1, 2, 3), 2: (1, 0, 3, 2), 3: (3, 2, 1, 0), 4: (2, 3, 0, 1),
        5: (0, 2, 1, 3), 6: (1, 3, 0, 2), 7: (3, 1, 2, 0), 8: (2, 0, 3, 1),
    }[orientation]  # fmt: skip
    wide = orientation < 5
    width, height = (32, 16) if wide else (16, 32)
    flat = [
        (*upright[stored[2 * (y >= height // 2) + (x >= width // 2)]], 255) for y in range(height) for x in range(width)
    ]
    jpeg = with_exif(as_jpeg(flat, width), orientation)
    found = pixels_of(jpeg)
    assert len(found) == 512
    corners = [found[4 * 32 + 8], found[4 * 32 + 24], found[12 * 32 + 8], found[12 * 32 + 24]]
    for pixel, colour in zip(corners, upright, strict=True):
        assert all(abs(a - b) < 16 for a, b in zip(pixel, colour, strict=False)), (corners, upright)


def as_jpeg(flat: list[Pixel], width: int) -> bytes:
    frame = pixels.from_rows(width, len(flat) // width, b"".join(bytes(pixel) for pixel in flat))
    return by_ffmpeg("mjpeg", frame.reformat(format="yuvj444p"))


OTHERS = {
    "BMP": b"BM",
    "TIFF": b"II*\0",
    "ICO": b"\0\0\1\0",
    "AVIF": b"\0\0\0\x1cftypavif",
    "HEIC": b"\0\0\0\x1cftypheic",
}


async def test_w9_other_formats_are_refused_by_name(api: Api) -> None:
    for name, magic in OTHERS.items():
        put(api, "logo.png", magic + bytes(20))
        answer = await check(api, "logo.png")
        assert (answer.status, answer.body["code"]) == (422, "image-not-supported")
        assert name in answer.body["detail"]
        assert "PNG, JPEG and still WebP" in answer.body["detail"]


async def test_a_media_folder_that_does_not_answer_holds_up_neither_packages_nor_those_who_ask_for_pictures(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(api, "logo.png", plain((255, 0, 0, 255), 8, 8))
    asked, answers = [], threading.Event()

    def hangs(*_: object) -> Path:
        asked.append(threading.current_thread().name)
        answers.wait(30)
        return Path(os.devnull)

    monkeypatch.setattr(mediafile, "file_below", hangs)
    monkeypatch.setattr(mediafile, "LOOK_LIMIT", 0.1)
    try:
        told = await asyncio.gather(*(check(api, "logo.png") for _ in range(3)), change_of_grey(api))
        assert {(answer.status, answer.body["code"]) for answer in told} == {(504, "source-timeout")}
        assert asked
        assert all(name.startswith("media-folder") for name in asked)
    finally:
        answers.set()
    monkeypatch.undo()
    monkeypatch.setattr(store, "_look", lambda _: asked.append(threading.current_thread().name))
    assert (await check(api, "logo.png")).status == 200
    assert all(name.startswith("media-folder") for name in asked)


async def change_of_grey(api: Api) -> Answer:
    """`/vod/set_watermark` of the plain channel."""
    return await api.post("/vod/set_watermark", {"localStreamName": "grey", "watermark": "logo.png"})


async def test_w10_a_file_over_the_limit_of_pictures_is_refused(api: Api) -> None:
    put(api, "large.png", plain(RED, 8, 8) + bytes(MAX_FILE))
    answer = await check(api, "large.png")
    assert (answer.status, answer.body["code"]) == (422, "image-too-large")


PLACES: tuple[tuple[tuple[int, int], dict[str, object], tuple[int, int, int, int]], ...] = (
    ((1000, 100), {}, (304, 312, 320, 32)),  # larger than the video: never over a quarter of it
    ((80, 40), {"x": 101, "y": 51}, (100, 50, 80, 40)),  # odd offsets become even ones
    ((80, 40), {"x": -40, "y": -20}, (-40, -20, 80, 40)),  # partly outside
    ((80, 40), {"x": 0.5, "y": 0.5, "width": 0.25}, (320, 180, 160, 80)),  # parts of the frame
    ((80, 40), {"anchor": "top-right", "x": 0, "y": 0}, (560, 0, 80, 40)),
    ((3, 3), {"anchor": "center", "width": 1.0}, (140, 0, 360, 360)),  # as large as fits
)


async def test_w11_a_picture_lies_where_the_rules_say(api: Api) -> None:
    assert (await start(api)).status == 200
    for number, (picture, mark, (x, y, width, height)) in enumerate(PLACES):
        name = put(api, f"logo{number}.png", plain(RED, *picture))
        assert (await change(api, watermark={"file": name, **mark})).status == 200
        left, top = max(0, x), max(0, y)
        shown = await torture_pictures.picture(api)
        shown.check_box(RED, left, top, min(WIDTH, x + width) - left, min(HEIGHT, y + height) - top)


async def test_w11_one_that_lies_outside_or_cannot_be_seen_changes_nothing(api: Api) -> None:
    put(api, "logo.png", plain(RED, 80, 40))
    assert (await start(api, {"file": "logo.png", "opacity": 0})).status == 200
    corners = ((20, 20), (WIDTH - 40, HEIGHT - 30), (WIDTH // 2, HEIGHT // 2))
    shown = await torture_pictures.picture(api)
    assert all(shown.is_(GREY, *at) for at in corners)
    assert (await change(api, x=5000, y=5000, opacity=1)).status == 200
    shown = await torture_pictures.picture(api)
    assert all(shown.is_(GREY, *at) for at in corners)
    assert (await change(api, x=16, y=16, opacity=0.5)).status == 200
    (await torture_pictures.picture(api)).check_box((192, 64, 64), 16, 16, 80, 40)
    for wrong in ({"opacity": 2}, {"width": 0}, {"x": 1e9}, {"anchor": "middle"}):
        answer = await change(api, **wrong)
        assert (answer.status, answer.body["code"]) == (422, "invalid-field")


async def test_w14_a_source_that_changes_size_keeps_its_watermark_where_the_rule_says(api: Api) -> None:
    put(api, "logo.png", plain(RED, 80, 40))
    assert (await start(api, "logo.png")).status == 200
    (await torture_pictures.picture(api)).check_box(RED, WIDTH - 96, HEIGHT - 56, 80, 40)
    ring = torture_pictures.live(api)
    before = ring.head
    await api.post("/vod/terminate", {"localStreamName": "grey"})
    torture_pictures.grey(api.gateway.settings.media_dir / "wide.mp4", (480, 200))
    answer = await api.post("/vod/startup", {"uri": "vod-live://wide.mp4", "localStreamName": "grey", "loop": True})
    assert answer.status == 200, answer.body
    async with asyncio.timeout(60):
        while (await torture_pictures.newest(ring))[-1].init.video.width != 480:  # type: ignore[union-attr]
            pass
    shown = await torture_pictures.picture(api)
    assert shown.size == (480, 200)
    shown.check_box(RED, 480 - 96, 200 - 56, 80, 40)
    chunks = await torture_pictures.collected(ring, before, ring.head - 1)
    changed = [each for each in chunks if each.discontinuity]
    assert len(changed) == 1
    assert changed[0].independent
    assert changed[0].init.video is not None
    assert changed[0].init.video.width == 480


async def test_w15_of_two_swaps_at_once_one_wins_and_the_other_is_told(api: Api) -> None:
    put(api, "red.png", plain(RED, 80, 40))
    put(api, "blue.png", plain(BLUE, 80, 40))
    assert (await start(api)).status == 200
    answers = await asyncio.gather(change(api, watermark="red.png"), change(api, watermark="blue.png"))
    assert sorted(answer.status for answer in answers) == [200, 409]
    loser = next(answer for answer in answers if answer.status == 409)
    assert (loser.body["code"], loser.headers["Retry-After"]) == ("resource-busy", "1")
    won = RED if answers[0].status == 200 else BLUE
    (await torture_pictures.picture(api)).check_box(won, WIDTH - 96, HEIGHT - 56, 80, 40)


async def test_w15_a_picture_that_is_deleted_while_it_is_shown_stays(api: Api) -> None:
    name = put(api, "red.png", plain(RED, 80, 40))
    assert (await start(api, name)).status == 200
    (api.gateway.settings.media_dir / name).unlink()
    assert (await change(api, opacity=1)).status == 200  # moved and faded without its file
    (await torture_pictures.picture(api)).check_box(RED, WIDTH - 96, HEIGHT - 56, 80, 40)
    answer = await change(api, watermark=name)
    assert (answer.status, answer.body["code"]) == (404, "image-not-found")
