"""The file rows: each input that people have, or make by accident, or with intent."""

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from av.packet import Packet
from av.video.frame import VideoFrame

from gateway.kinds import mediafile
from gateway.settings import Settings
from media.channel.channel_ring import ChannelRing
from media.channel.packages import file_identity
from media.channel.playlist.loop import Loop
from media.channel.span import SpanStart
from media.mp4 import moov
from media.ring import RingLimits
from tests.conftest import SOAK
from tests.media.channel.playlist.test_loop import make_index
from tests.media.channel.worker.test_package_play import packaged
from tests.support import clips, torture_pictures
from tests.support.api import Answer, Api
from tests.support.clips import Clip
from tests.support.processes import only_worker, until
from tests.support.served import call, gateway_process

pytestmark = [pytest.mark.media, pytest.mark.debian]

FILE = "clip.mp4"


def folder(api: Api) -> Path:
    return Path(api.gateway.settings.media_dir)


def packages(api: Api) -> int:
    return len(list(Path(api.gateway.settings.cache_dir).iterdir()))


async def startup(api: Api, name: str = FILE, stream: str = "c", **more: Any) -> Answer:
    body = {"uri": f"vod-live://{name}", "localStreamName": stream, "loop": True, **more}
    return await api.post("/vod/startup", body, prefer="wait=20, timeout=30")


async def codes(api: Api, stream: str = "c") -> set[str]:
    found = await api.post("/vod/find", {"localStreamName": stream})
    return {warning["code"] for warning in found.body[0]["warnings"]}


async def whole(api: Api) -> None:
    """Waits until every file that is played is packaged, and that is known."""
    packages = api.gateway.library._packages
    await until(lambda: api.gateway.workers.alive == 0 and all(package.whole for package in packages.values()), 60)


def test_V1_a_thousand_rounds_go_on_exactly(tmp_path: Path) -> None:
    made, _ = packaged(clips.make(tmp_path / FILE, Clip()), tmp_path / "package")
    loop = Loop.of(made)
    video = audio = -1
    for number in range(1000 * loop.chunk_count):
        place, (first, *more) = loop.at(number), loop.pieces(number)
        assert first.decode_time == place.round * made.length + made.entries[place.k].decode_time > video
        video = first.decode_time
        for piece in more:
            assert piece.decode_time > audio
            audio = piece.decode_time


@pytest.mark.parametrize("sound", [Fraction(12, 5), Fraction(28, 5)])
def test_V2_audio_of_another_length_neither_gaps_nor_drifts(sound: Fraction, tmp_path: Path) -> None:
    made, _ = packaged(clips.make(tmp_path / FILE, Clip(sound=sound)), tmp_path / "package")
    loop = Loop.of(made)
    ends: list[int] = []
    begins: list[int] = []
    for number in range(1000 * loop.chunk_count, 1002 * loop.chunk_count):
        for piece in loop.pieces(number)[1:]:
            begins.append(piece.decode_time)
            ends.append(piece.decode_time + 1024 * loop._sound_count(number))
            picture = Fraction(loop.pieces(number)[0].decode_time, loop.timescale)
            delay = picture - Fraction(piece.decode_time, 48000)
            assert abs(delay + Fraction(2, 25)) < Fraction(1, 25)  # the pictures' reorder delay
    assert begins[1:] == ends[:-1]


def test_V5_after_72_hours_nothing_has_drifted() -> None:
    now = 100.0
    ring = ChannelRing(Loop.of(make_index(101)), [], SpanStart(now, 0.0), lambda: now, RingLimits())
    lead = ring.segments()[0].seconds
    for hour in range(1, 73):
        now = 100.0 + 3600 * hour
        newest = ring.segments()[-1]
        end = Fraction(newest.decode_time + newest.duration, 12800)
        assert -Fraction(4, 10) < end - lead - 3600 * hour <= 0
        assert newest.wall + float(newest.seconds) == pytest.approx(float(end - lead), abs=1e-3)


async def test_V5_a_stopped_gateway_is_late_and_does_not_burst(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    clips.make(tmp_path / "media" / FILE, Clip(seconds=Fraction(12), sound=None))
    places: dict[str, Any] = {f"{name}_dir": tmp_path / name for name in ("media", "data", "cache")}
    async with gateway_process(Settings(**places)) as (process, url):
        await call(url, "/vod/startup", {"uri": f"vod-live://{FILE}", "localStreamName": "c", "loop": True})
        async with asyncio.timeout(60):
            while not await call(url, "/vod/find", {"localStreamName": "c"}):  # noqa: ASYNC110 (another process packages it)
                await asyncio.sleep(0.1)
        asked = time.monotonic()
        before = (await call(url, "/vod/find", {"localStreamName": "c"}))[0]["position"]
        os.kill(process.pid, signal.SIGSTOP)
        await asyncio.sleep(3.0)
        os.kill(process.pid, signal.SIGCONT)
        after = (await call(url, "/vod/find", {"localStreamName": "c"}))[0]["position"]
        # Without anchoring again it would have gone on by all of the time that it stood still.
        assert 0 <= after - before < time.monotonic() - asked - 2.0


async def test_V6_a_variable_frame_rate_keeps_its_cadence_and_exact_durations(api: Api) -> None:
    picture = "testsrc2=size=320x180:rate=50:duration=4,select='if(lt(t,2),not(mod(n,2)),not(mod(n,5)))'"
    encoder = "-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p -g 25 -x264-params scenecut=0"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-fps_mode", "vfr", *encoder.split()]
    await asyncio.to_thread(subprocess.run, [*command, str(folder(api) / FILE)], timeout=60, check=True)
    assert (await startup(api)).status == 200
    await whole(api)
    ring = api.gateway.catalog.ring("c")
    assert ring is not None
    segments = ring.segments()
    assert all(b.decode_time == a.decode_time + a.duration for a, b in pairwise(segments))
    listed = (await api.get("/live/c/media.m3u8")).body.decode()
    exact = float(segments[0].seconds)
    assert f"#EXTINF:{exact:.6f}," in listed


@pytest.mark.parametrize(
    "clip",
    [
        Clip(muxer={"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
        Clip(muxer={"movflags": "cmaf+frag_keyframe+delay_moov"}),
        Clip(format="mov"),
        Clip(muxer={"movflags": "faststart"}),
        Clip(),
    ],
    ids=["fragmented", "CMAF", "QuickTime", "faststart", "index at the end"],
)
async def test_V7_every_form_of_the_container_is_live(clip: Clip, api: Api) -> None:
    made = clips.make(folder(api) / "clip.mp4", clip)
    for name in ("clip.mp4", "below/clip.mov", "clip.m4v"):
        (folder(api) / "below").mkdir(exist_ok=True)
        if name != "clip.mp4":
            shutil.copyfile(made, folder(api) / name)
        answer = await startup(api, name, name.replace("/", "-").replace(".", "-"))
        assert answer.status == 200, answer.body
        assert answer.body["duration"] == pytest.approx(4.0, abs=0.1)


async def test_V8_a_truncated_file_plays_what_is_whole(api: Api) -> None:
    path = clips.make(folder(api) / FILE, Clip(muxer={"movflags": "faststart"}))
    os.truncate(path, path.stat().st_size // 2)
    assert (await startup(api)).status == 200
    await whole(api)
    assert "truncated" in await codes(api)
    (record,) = (await api.post("/vod/find", {"localStreamName": "c"})).body
    assert 1 < record["duration"] < 3


async def test_V9_what_is_no_media_is_said_at_once(api: Api) -> None:
    late = clips.make(folder(api) / "late.mp4", Clip(seconds=Fraction(1)))
    os.truncate(late, late.stat().st_size - 20)
    contents = {
        "zero.mp4": b"",
        "text.mp4": b"ffconcat version 1.0\nfile other.mp4\n",
        "random.mp4": random.Random(1).randbytes(20000),
        "jpeg.mp4": b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8,
    }
    for name, content in contents.items():
        (folder(api) / name).write_bytes(content)
    await startup(api, "zero.mp4", "warm-up")
    for name in (*contents, "late.mp4"):
        # The best of three, and more where others are at work: that is not ours.
        assert min([await refused(api, name) for _ in range(3)]) < (0.3 if SOAK else 2), name
    await until(lambda: api.gateway.workers.alive == 0)


async def refused(api: Api, name: str) -> float:
    """Seconds until it is said that there is nothing to play."""
    began = asyncio.get_running_loop().time()
    answer = await startup(api, name)
    assert answer.body["code"] == ("file-empty" if name == "zero.mp4" else "file-not-media"), name
    return asyncio.get_running_loop().time() - began


async def test_V10_damaged_bytes_play_or_end_with_a_reason(api: Api) -> None:
    good = clips.make(folder(api) / FILE, Clip(seconds=Fraction(1), sound=Fraction(1))).read_bytes()
    chance = random.Random(10)
    outcomes = set()
    for number in range(300 if SOAK else 12):
        bad = bytearray(good)
        for _ in range(chance.choice([1, 10, 100])):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        (folder(api) / f"bad{number}.mp4").write_bytes(bytes(bad))
        answer = await startup(api, f"bad{number}.mp4", f"bad{number}")
        outcomes.add("played" if answer.status == 200 else answer.body["code"])
        await api.post("/vod/terminate", {"localStreamName": f"bad{number}"})
    assert outcomes <= {"played", "file-not-media", "limits-exceeded", "codec-unsupported", "worker-crashed"}
    assert (await startup(api)).status == 200


async def test_V12_what_is_no_file_below_the_folder_is_refused_at_once(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(api)
    monkeypatch.chdir(root)  # a socket's address has room for 107 bytes, which a folder for tests may use up
    os.mkfifo(root / "pipe.mp4")
    (root / "dir.mp4").mkdir()
    (root / "out.mp4").symlink_to(tmp_path)
    (root / "device.mp4").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp4")
        names = [
            "pipe.mp4",
            "dir.mp4",
            "out.mp4",
            "device.mp4",
            "socket.mp4",
            "../clip.mp4",
            "%d.mp4",
            "a\0b",
            "x" * 4096,
        ]
        for name in names:
            began = asyncio.get_running_loop().time()
            answer = await startup(api, name)
            assert 400 <= answer.status < 500, name
            assert "Job-Id" not in answer.headers
            assert asyncio.get_running_loop().time() - began < 15  # and so before the `wait` is over
    assert api.gateway.workers.alive == 0


@pytest.mark.parametrize("harm", ["truncated in place", "deleted", "no permission"])
async def test_V15_a_channel_plays_on_from_its_package_and_warns(harm: str, api: Api) -> None:
    path = clips.make(folder(api) / FILE, Clip(muxer={"movflags": "faststart"}))
    await startup(api)
    await whole(api)
    if harm == "truncated in place":
        os.truncate(path, path.stat().st_size // 2)
    elif harm == "deleted":
        path.unlink()
    else:
        path.chmod(0)
        if os.access(path, os.R_OK):
            path.unlink()  # to root, nothing is forbidden
    for _ in range(300):
        if "file-changed" in await codes(api):
            break
        await asyncio.sleep(0.1)
    assert "file-changed" in await codes(api)
    ring = api.gateway.catalog.ring("c")
    assert ring is not None
    head = ring.head
    assert await ring.wait(head + 1)
    assert await ring.chunk(head) is not None
    (record,) = (await api.post("/vod/find", {"localStreamName": "c"})).body
    assert (record["status"], record["duration"]) == ("LIVE", 4.0)


def first_frame(path: Path) -> VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).reformat(format="rgb24")


def unlike(turned: torture_pictures.Shown, flat: torture_pictures.Shown, clockwise: bool) -> float:
    """How far the colours are from where a quarter turn puts them: parts of the pattern move, most stand still."""
    total = 0
    for x in range(10, clips.WIDTH, 20):
        for y in range(10, clips.HEIGHT, 20):
            place = (clips.HEIGHT - 1 - y, x) if clockwise else (y, clips.WIDTH - 1 - x)
            total += sum(abs(a - b) for a, b in zip(turned.at(*place), flat.at(x, y), strict=True))
    return total


@pytest.mark.parametrize(("video", "mode"), [("libx264", "copy"), ("mpeg4", "transcode")])
async def test_V17_a_phone_s_turned_video_stays_upright(video: str, mode: str, api: Api, tmp_path: Path) -> None:
    flat = clips.make(tmp_path / "flat.mp4", Clip(seconds=Fraction(2), video=video, b_frames=0, sound=None))
    turn = ["ffmpeg", "-v", "error", "-i", str(flat), "-c", "copy", "-metadata:s:v", "rotate=90"]
    await asyncio.to_thread(subprocess.run, [*turn, str(folder(api) / FILE)], timeout=60, check=True)
    answer = await startup(api)
    assert answer.status == 200, answer.body
    record = answer.body["video"]
    assert (record["width"], record["height"], record["mode"]) == (clips.HEIGHT, clips.WIDTH, mode)
    # What is remuxed keeps its matrix, and a transcoder of it applies it.
    chunk = (await torture_pictures.newest(torture_pictures.live(api, "c"), 1))[0]
    assert moov.orientation(chunk.init.data) == (8 if mode == "copy" else 1)
    twin = {"uri": "transcoder://t", "remoteStreamName": "c", "localStreamName": "t"}
    answer = await api.post("/transcoder/startup", twin, prefer="wait=20, timeout=30")
    assert answer.status == 200, answer.body
    assert (answer.body["video"]["width"], answer.body["video"]["height"]) == (clips.HEIGHT, clips.WIDTH)
    flat_frame = await asyncio.to_thread(first_frame, flat)
    frame = torture_pictures.frames(await torture_pictures.newest(torture_pictures.live(api, "t")))[0]
    assert (frame.width, frame.height) == (clips.HEIGHT, clips.WIDTH)
    turned, flat_one = torture_pictures.Shown(frame), torture_pictures.Shown(flat_frame)
    assert unlike(turned, flat_one, clockwise=False) * 2 < unlike(turned, flat_one, clockwise=True)


@pytest.mark.parametrize(
    ("clip", "video", "audio"),
    [
        (Clip(video="prores_ks", pix_fmt="yuv422p10le", format="mov"), "transcode", "copy"),
        (Clip(video="mpeg4", b_frames=0), "transcode", "copy"),
        (Clip(video="libvpx-vp9"), "transcode", "copy"),
        (Clip(pix_fmt="yuv420p10le"), "transcode", "copy"),
        (Clip(audio="pcm_s16le", format="mov"), "copy", "transcode"),
        (Clip(audio="ac3"), "copy", "transcode"),
        (Clip(audio="libmp3lame"), "copy", "transcode"),
        (Clip(audio="alac", format="mov"), "copy", "transcode"),
    ],
    ids=["ProRes", "MPEG-4 ASP", "VP9", "Hi10P", "PCM", "AC-3", "MP3", "ALAC"],
)
async def test_V18_other_codecs_are_kept_or_recoded_with_the_reason(
    clip: Clip, video: str, audio: str, api: Api
) -> None:
    small = clip.but(seconds=Fraction(1), sound=Fraction(1), size=(160, 90))
    clips.make(folder(api) / FILE, small)
    answer = await startup(api)
    assert answer.status == 200, answer.body
    assert (answer.body["video"]["mode"], answer.body["audio"]["mode"]) == (video, audio)
    for track in ("video", "audio"):
        assert ("reason" in answer.body[track]) == (answer.body[track]["mode"] == "transcode")


async def test_V18_recoding_over_budget_is_capacity_exceeded_and_copying_is_not(api: Api) -> None:
    clips.make(folder(api) / FILE, Clip(seconds=Fraction(1), video="mpeg4", b_frames=0, sound=None))
    clips.make(folder(api) / "copied.mp4", Clip(seconds=Fraction(1), sound=None))
    capacity = api.gateway.capacity
    capacity.cores = 2.5
    for other in ("one", "another"):
        capacity.reserve_thread(other)
    refused = await startup(api)
    assert (refused.status, refused.body["code"], refused.body["retryable"]) == (503, "capacity-exceeded", True)
    assert int(refused.headers["Retry-After"]) > 0
    assert "1.00 cores" in refused.body["detail"]
    await until(lambda: api.gateway.workers.alive == 0)
    assert (await startup(api, "copied.mp4", "copied")).status == 200
    capacity.release("one")
    assert (await startup(api)).status == 200
    await whole(api)
    await until(lambda: capacity.used == 1.0)


def long_file(path: Path, frames: int) -> None:
    """So many pictures of one second of video again and again, at 25 a second: no encoder has to do that."""
    source = clips.make(
        path.with_suffix(".short.mp4"), Clip(seconds=Fraction(1), b_frames=0, sound=None, size=(64, 36))
    )
    with av.open(str(source)) as container, av.open(str(path), "w", options={"movflags": "faststart"}) as output:
        video = container.streams.video[0]
        packets = [(bytes(packet), packet.is_keyframe) for packet in container.demux(video) if packet.size]
        track = output.add_stream_from_template(video)
        assert video.time_base is not None
        step = int(Fraction(1, 25) / video.time_base)
        for number in range(frames):
            data, key = packets[number % len(packets)]
            packet = Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = track, video.time_base, key
            packet.pts = packet.dts = number * step
            packet.duration = step
            output.mux(packet)


async def test_V19_a_long_file_is_live_long_before_it_is_packaged(api: Api) -> None:
    await asyncio.to_thread(long_file, folder(api) / FILE, 1_000_000 if SOAK else 180_000)
    clips.make(folder(api) / "warm-up.mp4", Clip(seconds=Fraction(1)))
    await startup(api, "warm-up.mp4", "warm-up")
    began = asyncio.get_running_loop().time()
    answer = await startup(api)
    took = asyncio.get_running_loop().time() - began
    assert answer.status == 200, answer.body
    assert took < 4.5  # the whole of it takes many times longer
    assert answer.body["duration"] == pytest.approx(40_000 if SOAK else 7200, abs=1)


@pytest.mark.parametrize("frames", [1, 2, 12])
async def test_V19_a_tiny_file_loops_in_rounds_of_half_a_second(frames: int, api: Api) -> None:
    clips.make(folder(api) / FILE, Clip(seconds=Fraction(frames, 25), sound=None))
    assert (await startup(api)).status == 200
    stream = api.gateway.catalog.holder("c")
    assert stream is not None
    await until(lambda: stream.record()["duration"] >= 0.5)  # as soon as it is known to be whole
    ring = api.gateway.catalog.ring("c")
    assert ring is not None
    loop = asyncio.get_running_loop()
    head, began = ring.head, loop.time()
    await asyncio.sleep(1.0)
    assert ring.head - head <= 2 + 25 * (loop.time() - began)  # no more than one for each picture


async def test_V20_fifty_channels_of_one_file_package_it_once(api: Api) -> None:
    clips.make(folder(api) / FILE, Clip())
    answers = await asyncio.gather(*(startup(api, FILE, f"c{number}") for number in range(50)))
    assert {answer.status for answer in answers} == {200}
    await whole(api)
    assert packages(api) == 1


async def test_V21_a_packager_that_hangs_on_its_disk_is_cancelled_at_once(api: Api) -> None:
    await asyncio.to_thread(long_file, folder(api) / FILE, 90_000)
    body = {"uri": f"vod-live://{FILE}", "localStreamName": "c", "loop": True, "startAt": 3500}
    answer = await api.post("/vod/startup", body, prefer="wait=0")
    assert answer.status == 202
    os.kill(await only_worker(api.gateway.workers), signal.SIGSTOP)  # as hard to reach as one that waits for a disk
    began = asyncio.get_running_loop().time()
    await api.post("/jobs/terminate", {"id": answer.body["id"]})
    await until(lambda: api.gateway.workers.alive == 0)
    assert asyncio.get_running_loop().time() - began < 0.1 + 4.9  # the grace of a cancel, and a noisy machine
    job = await api.post("/jobs/find", {"id": answer.body["id"]})
    assert job.body["state"] == "CANCELLED"


async def test_V21_a_packager_that_makes_no_progress_is_reported(api: Api) -> None:
    await asyncio.to_thread(long_file, folder(api) / FILE, 60_000)
    body = {"uri": f"vod-live://{FILE}", "localStreamName": "late", "loop": True, "startAt": 2300}
    job = (await api.post("/vod/startup", body, prefer="wait=0, timeout=60")).body["id"]
    assert (await startup(api)).status == 200
    await until(lambda: len(api.gateway.workers.pids()) > 1)  # the last one is the fork server
    packager = api.gateway.workers.pids()[0]
    os.kill(packager, signal.SIGSTOP)
    waiting = api.gateway.supervisor.get(job)
    assert waiting is not None
    await until(lambda: waiting.stage == "stalled", 30)
    assert "stalled" in await codes(api)
    os.kill(packager, signal.SIGCONT)
    await until(lambda: api.gateway.workers.alive == 0, 60)
    assert "stalled" not in await codes(api)
    assert (await api.ended(job))["state"] == "DONE"


async def test_V21_a_media_folder_that_hangs_holds_up_only_those_who_ask_for_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips.make(folder(api) / FILE, Clip())
    await startup(api)
    await whole(api)
    back = threading.Event()
    real = file_identity.key
    monkeypatch.setattr(file_identity, "key", lambda path: back.wait(90) and real(path))  # stat(2) on a hung NFS
    monkeypatch.setattr(mediafile, "LOOK_LIMIT", 90.0)  # of those who are cancelled before
    try:
        hung = [
            (
                await api.post("/vod/startup", {"uri": f"vod-live://{FILE}", "localStreamName": name}, prefer="wait=0")
            ).body
            for name in ("d", "e", "f", "g")
        ]
        ring = api.gateway.catalog.ring("c")
        assert ring is not None
        assert await ring.wait(ring.head)
        assert await ring.chunk(ring.head - 1) is not None
        monkeypatch.setattr(mediafile, "LOOK_LIMIT", 0.3)
        late = await startup(api, FILE, "h")
        assert (late.status, late.body["code"]) == (504, "source-timeout")
        for job in hung:
            began = asyncio.get_running_loop().time()
            await api.post("/jobs/terminate", {"id": job["id"]}, prefer="wait=5")
            assert (await api.post("/jobs/find", {"id": job["id"]})).body["state"] == "CANCELLED"
            assert asyncio.get_running_loop().time() - began < 0.1 + 4.9  # a noisy machine; the folder hangs for 90 s
    finally:
        back.set()


async def test_V23_moves_are_acknowledged_by_new_timestamps(api: Api) -> None:
    clips.make(folder(api) / FILE, Clip())
    await startup(api)
    await whole(api)
    ring = api.gateway.catalog.ring("c")
    assert ring is not None
    for verb, more in (("seek", {"position": 3}), ("pause", {}), ("resume", {}), ("seek", {"position": 0.5})):
        before = ring.head
        answer = await api.post(f"/vod/{verb}", {"localStreamName": "c", **more})
        assert answer.status == 200, answer.body
        head = ring.head
        if verb == "pause":
            await asyncio.sleep(1.0)
            assert ring.head == head
            continue
        newest, previous = await ring.chunk(head - 1), await ring.chunk(head - 2)
        assert newest is not None
        assert previous is not None
        assert newest.decode_time == previous.decode_time + previous.duration
        assert head > before
