"""The camera rows that end in a picture: what viewers get of cameras as they are."""

import asyncio
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from media.chunk import Chunk
from media.codecs import libav
from media.faultcamera.clip.clip import make_tracks
from media.faultcamera.settings import ClipSettings
from tests.media.codecs.test_libav import raw
from tests.media.faultcamera.test_rtp import unpack
from tests.peers import ffmpeg
from tests.support.api import Api
from tests.support.processes import until
from tests.support.torture_cameras import (
    SMALL,
    Shown,
    camera,
    chunks,
    decoded,
    gateway,
    media,
    record,
    sounds,
    start,
    status_becomes,
    warnings,
)

pytestmark = pytest.mark.media

FRAME = 0.04


def check_times(shown: list[Shown], frame: float = FRAME) -> None:
    """Every number follows the one before, and every picture is shown one frame after it."""
    assert len(shown) > 10
    for before, after in pairwise(shown):
        assert after.time - before.time == pytest.approx(frame, abs=0.002)
        assert before.number is not None
        assert after.number in (before.number + 1, 0)


def check_steps(shown: list[Shown], *, whole: bool) -> None:
    """As `check_times`; unless it is the `whole` of them, some pictures may have been left out, which shifts no other.

    That is what becomes of a camera that is transcoded when the machine has other work.
    """
    if whole:
        check_times(shown)
    for before, after in pairwise(shown):
        assert before.number is not None
        assert after.number is not None
        steps = (after.number - before.number) % 100  # the clip has four seconds
        assert after.time - before.time == pytest.approx(steps * FRAME, abs=0.002)


def check_run(run: list[Chunk]) -> None:
    """Chunks that follow on one another without a gap, the first of them a key frame's."""
    assert run[0].independent
    for before, after in pairwise(run):
        assert not after.discontinuity
        assert after.decode_time == before.decode_time + before.duration


async def test_C17_audio_that_is_declared_and_never_sent_costs_no_time(api: Api) -> None:
    async with camera("mute_audio", clip={"sound": "pcma"}) as peer:
        opened = await start(api, peer.url)
        assert opened.status == 200
        assert opened.body["timings"]["waiting-keyframe"] < 4000  # FFmpeg by itself would look for sound for 5 s
        await media(api, 0.5)
        assert "audio-silent" in await warnings(api)
        assert (await record(api))["audio"] is None


async def test_C18_a_telephone_codec_becomes_aac_in_time_with_the_picture(api: Api) -> None:
    async with camera(clip={"sound": "pcma", "gop": 1.0}) as peer:
        opened = await start(api, peer.url)
        assert (opened.body["audio"]["codec"], opened.body["audio"]["mode"]) == ("aac", "transcode")
        await media(api, 2.6)
        run = await chunks(api)
        assert run[0].init.codecs.endswith("mp4a.40.2")
        flashes = [shown.time for shown in decoded(run) if shown.number is not None and shown.number % 25 == 0]
        heard = sounds(run)
        loudest = max(level for _, level in heard)
        beeps = [b[0] for a, b in pairwise(heard) if a[1] < loudest * 0.7 <= b[1]]
        assert flashes
        assert beeps
        for beep in beeps:
            assert min(abs((beep - flash + 0.5) % 1 - 0.5) for flash in flashes) < 0.1


async def test_C19_any_sound_is_carried_and_none_is_a_failure(api: Api) -> None:
    async def one(name: str, *faults: str, **clip: Any) -> None:
        async with camera(*faults, clip=clip) as peer:
            opened = await start(api, peer.url, name)
            assert opened.status == 200, name
            await media(api, 1.0, name)
            assert (await record(api, name))["audio"]["codec"] == "aac", name
            assert max(level for _, level in sounds(await chunks(api, name))) > 0.05, name

    await asyncio.gather(
        one("opus", sound="opus"),
        one("g726", sound="g726"),
        one("l16", sound="l16"),
        one("no-config", "describe=no_config"),
    )


async def test_C20_h265_is_carried_as_hvc1(api: Api) -> None:
    async with camera(clip={"codec": "h265"}) as peer:
        opened = await start(api, peer.url)
        assert opened.status == 200
        assert opened.body["video"]["codecString"].startswith("hvc1.")
        assert opened.body["browsers"]["mse"] == "some"
        await media(api, 1.0)
        run = await chunks(api)
        check_run(run)
        check_times(decoded(run))


async def test_C21_parameters_may_come_with_the_picture_alone(api: Api) -> None:
    async with camera("describe=no_sprop") as peer:
        opened = await start(api, peer.url)
        assert (opened.status, opened.body["video"]["width"]) == (200, 160)


async def test_C24_C25_no_frame_is_lost_and_every_time_is_exact(api: Api) -> None:
    async def one(name: str, b_frames: int) -> None:
        async with camera(clip={"b_frames": b_frames, "gop": 3.0}) as peer:
            opened = await start(api, peer.url, name)
            # Had the first key frame been lost, the next one would have come three seconds later.
            assert opened.body["timings"]["waiting-keyframe"] < 2900, name
            await media(api, 1.0, name)
            run = await chunks(api, name)
            check_run(run)
            shown = decoded(run)
            assert shown[0].number in (0, 75), name
            # The ring ends in the middle of a GOP: before a frame that is not there yet others may be missing.
            check_times(shown[: len(shown) - 3])

    await asyncio.gather(one("C24", 2), one("C25", 0))


async def test_C26_a_clock_that_wraps_or_jumps_or_spikes_is_no_gap(api: Api) -> None:
    async with camera("wrap=1") as peer:
        await start(api, peer.url)
        await media(api, 0.6)
        peer.jump_clock(-3600.0)
        await media(api, 1.5)
        peer.spike_clock(9800.0)
        await media(api, 2.5)
        peer.jump_clock(7200.0)
        await media(api, 3.2)
        run = await chunks(api)
        check_run(run)
        check_times(decoded(run), FRAME)
        assert "clock-jumped" in await warnings(api)


async def test_C30_a_pause_is_seen_and_the_camera_comes_back(api: Api) -> None:
    loop = asyncio.get_running_loop()
    async with camera() as peer:
        opened = await start(api, peer.url)
        await media(api, 0.6)
        peer.stall()
        stalled = loop.time()
        await status_becomes(api, "WAITING")
        assert 4.2 < loop.time() - stalled < 14  # the gateway's own patience is 15 s
        error = (await record(api))["lastError"]
        assert (error["code"], error["phase"]) == ("source-timeout", "live")
        peer.resume()
        await status_becomes(api, "LIVE")
        await media(api, 1.5)
        run = await chunks(api)
        assert [chunk.discontinuity for chunk in run].count(True) == 1
        after = await record(api)
        assert after["id"] == opened.body["id"]
        assert after["restarts"] == 1


async def test_C32_another_size_is_another_init_at_a_discontinuity(api: Api) -> None:
    async with camera() as peer:
        await start(api, peer.url)
        await media(api, 1.0)
        peer.change_size()
        ring = api.gateway.catalog.ring("cam")
        assert ring is not None
        first = ring.segments()[0].init.id
        await until(lambda: sum(each.seconds for each in ring.segments() if each.init.id != first) >= 0.8)
        run = await chunks(api)
        large = [chunk for chunk in run if chunk.init.id == run[0].init.id]
        small = [chunk for chunk in run if chunk.init.id != run[0].init.id]
        assert {shown.width for shown in decoded(large)} == {160}
        assert {shown.width for shown in decoded(small)} == {80}
        assert small[0].discontinuity
        assert small[0].independent
        assert (await record(api))["video"]["width"] == 80


async def test_C38_a_bad_network_is_told_and_lived_through(api: Api) -> None:
    async with camera("lose=5", "duplicate=5", "reorder") as peer:
        opened = await start(api, peer.url, transport="udp", prefer="wait=30, timeout=30")
        assert (opened.status, opened.body["transport"]) == (200, "udp")
        await media(api, 3.0)
        stream = api.gateway.catalog.holder("cam")
        assert stream is not None
        await until(lambda: (stream.record()["loss"] or 0) > 0)  # told once a second
        told = await record(api)
        assert (told["status"], told["restarts"]) == ("LIVE", 0)
        assert told["loss"] < 200


async def test_C39_a_camera_that_refuses_tcp_is_opened_by_udp_and_that_is_said(api: Api) -> None:
    async with camera("refuse_transport=tcp") as peer:
        opened = await start(api, peer.url)
        assert (opened.status, opened.body["transport"]) == (200, "udp")
        assert "transport-changed" in await warnings(api)
        peer.heal()
        peer.lose(100)  # a firewall now swallows what worked, and TCP would do
        peer.drop()
        await status_becomes(api, "WAITING")
        await status_becomes(api, "LIVE", seconds=60)
        assert (await record(api))["transport"] == "tcp"
    async with camera("refuse_transport=tcp") as peer:
        refused = await start(api, peer.url, "tcp", transport="tcp")
        assert (refused.body["code"], refused.body["phase"]) == ("source-protocol-error", "setup")


async def test_C40_a_long_gop_is_waited_for_and_told_and_one_without_end_is_no_keyframe(tmp_path: Path) -> None:
    async with gateway(tmp_path, camera_keyframe_timeout=30) as api, camera(clip={"gop": 4.4}) as peer:
        peer.no_keyframes()
        told = await start(api, peer.url, prefer="wait=1, timeout=60")
        job = f"/rest-api/v3/jobs/{told.body['id']}"
        while (await api.get(job)).body["stage"] != "waiting-keyframe":  # noqa: ASYNC110 (a stage is asked for)
            await asyncio.sleep(0.05)
        await asyncio.sleep(4.1)  # what has to pass is the camera's time, not the gateway's
        peer.heal()
        while (ended := await api.get(f"{job}?wait=1")).body["state"] == "RUNNING":
            pass
        assert ended.body["state"] == "DONE"
        assert "long-gop" in await warnings(api)
    async with gateway(tmp_path, camera_keyframe_timeout=1) as api, camera("no_keyframes") as peer:
        told = await start(api, peer.url, "endless")
        assert (told.status, told.body["code"]) == (504, "source-no-keyframe")


@pytest.mark.debian
async def test_C41_any_frame_rate_makes_a_playlist(api: Api) -> None:
    async def one(name: str, fps: int, gop: float, frames: int, audio: bool = True) -> None:
        async with camera(clip={"fps": Fraction(fps), "gop": gop, "audio": audio}) as peer:
            opened = await start(api, peer.url, name, prefer="wait=30, timeout=30")
            assert opened.status == 200, name
            read = await ffmpeg.packets(f"{api.gateway.url}/live/{name}/index.m3u8", frames / fps)
            times = [float(packet["dts_time"]) for packet in read["video"]]
            steps = [b - a for a, b in pairwise(times)]
            assert len(times) >= frames * 0.9, name
            assert max(steps) == pytest.approx(1 / fps, abs=0.01), name

    # Without sound FFmpeg waits for each picture of a slow camera, and has nothing to do meanwhile.
    await asyncio.gather(one("slow", 1, 1.0, 4), one("mute", 2, 1.0, 8, audio=False), one("fast", 120, 0.5, 240))


@pytest.mark.soak
async def test_C41_one_picture_in_five_seconds_is_no_stall(tmp_path: Path) -> None:
    async def one(api: Api, name: str, audio: bool) -> None:
        async with camera(clip={"fps": Fraction(1, 5), "gop": 5.0, "audio": audio}) as peer:
            # The first picture may be five seconds away.
            assert (await start(api, peer.url, name)).status in (200, 202)
            await until(lambda: api.gateway.catalog.holder(name) is not None, 20)
            ring = api.gateway.catalog.ring(name)
            assert ring is not None
            # Each picture is known to be whole when the next one comes, and how long it lasts when another one has.
            await until(lambda: len(ring.segments()) >= 6, 90)
            assert {round(each.seconds, 2) for each in ring.segments() if each.count} == {5.0}
            told = await record(api, name)
            assert (told["status"], told["restarts"]) == ("LIVE", 0)
            assert "clock-jumped" not in await warnings(api, name)
            assert "#EXT-X-TARGETDURATION:5" in (await api.get(f"/live/{name}/media.m3u8")).body.decode()

    async with gateway(tmp_path) as api:
        await asyncio.gather(*(one(api, f"cam{number}", audio=number % 2 == 0) for number in range(8)))


async def test_C43_a_camera_of_jpegs_is_transcoded(api: Api) -> None:
    capacity = api.gateway.calibration.capacity
    async with camera(clip={"codec": "mjpeg", "sound": "pcma"}) as peer:
        opened = await start(api, peer.url)
        assert opened.status == 200, opened.body
        video = opened.body["video"]
        assert (video["codec"], video["mode"]) == ("h264", "transcode")
        assert (video["width"], video["height"], video["fps"]) == (160, 120, 25)
        assert video["reason"] == "mjpeg is played by no browser"
        held = capacity.used
        assert held > 0
        await media(api, 2.5)
        run = await chunks(api)
        check_run(run)
        await asyncio.sleep(1.5)  # once a second it is told that pictures were left out
        overloaded = "overloaded" in await warnings(api)
        check_steps(decoded(run), whole=not overloaded)
        keys = [chunk.decode_time / chunk.init.timescale for chunk in run if chunk.independent]
        if not overloaded:  # it goes by the pictures that are encoded
            assert len(keys) > 1
            assert [after - before for before, after in pairwise(keys)] == pytest.approx([2.0] * (len(keys) - 1))
        assert run[0].init.codecs.endswith("mp4a.40.2")
        peer.drop()
        await status_becomes(api, "WAITING")
        assert capacity.used == held
        await status_becomes(api, "LIVE")
        await api.post("/rtsp/terminate", {"localStreamName": "cam"})
        assert capacity.used == 0


def test_C47_a_picture_over_the_limit_is_no_key_frame() -> None:
    key = make_tracks(ClipSettings(**SMALL))[0].units[0]
    data = b"".join(b"\0\0\0\1" + nal for nal in unpack(key.payloads))
    assert libav.prove_keyframe(raw(data), data) is not None
    assert libav.prove_keyframe(raw(data), data, max_pixels=160 * 120 - 1) is None
    assert libav.MAX_PIXELS < 16_384 * 8_192
