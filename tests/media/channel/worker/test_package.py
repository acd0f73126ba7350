"""What the packager accepts, refuses and tells; no player needed."""

import errno
import os
import random
import socket
import struct
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from media.channel.packages import index
from media.channel.packages.index import Entry, Index
from media.channel.worker import package
from media.channel.worker.package import Done, Options, TracksFound, Wrote
from media.faults import Fault
from media.mp4 import fmp4, intake
from media.mp4.parameter_sets import avc_units
from media.process import messages
from media.process.framing import Decoder
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Finished, TaskProgress, TaskReady
from media.troubles import HOPELESS
from tests.support import clips
from tests.support.clips import Clip

pytestmark = pytest.mark.media


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.make(tmp_path_factory.mktemp("package") / "clip.mp4", Clip(muxer={"movflags": "faststart"}))


def packaged(path: Path, folder: Path, options: Options | None = None) -> tuple[Index, list[package.PackageEvent]]:
    folder.mkdir(exist_ok=True)
    events: list[package.PackageEvent] = []
    fd = intake.open_regular(path)
    try:
        return package.package(fd, folder, options or Options(), events.append), events
    finally:
        os.close(fd)


def fault(path: Path, folder: Path) -> str:
    with pytest.raises(Fault) as caught:
        packaged(path, folder)
    assert not (folder / index.INDEX_NAME).exists()
    return caught.value.code


def without_audio(entries: Iterable[Entry]) -> list[Entry]:
    """The audio of the first round is copied; when the package is whole it has that of all rounds instead."""
    return [replace(entry, audio=()) for entry in entries]


def box(kind: bytes, *payloads: bytes) -> bytes:
    data = b"".join(payloads)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def test_the_chunks_of_a_clip_are_even_and_begin_at_key_frames(clip: Path, tmp_path: Path) -> None:
    made, _ = packaged(clip, tmp_path)
    frame = 3600  # ticks: of the file there are 512
    assert [entry.duration // frame for entry in made.entries] == [9, 8, 8] * 4
    assert [entry.independent for entry in made.entries] == [True, False, False] * 4
    assert made.seconds == 4
    assert (made.counts, made.cycle) == ((188, 187), (0, 1))  # two rounds are 375 frames
    assert made.warnings == ()
    assert made.head.target == 2


def test_the_picture_and_the_sound_are_those_of_the_file(clip: Path, tmp_path: Path) -> None:
    made, events = packaged(clip, tmp_path)
    data = (tmp_path / index.DATA_NAME).read_bytes()
    with av.open(str(clip)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        sets = fmp4.prefixed(avc_units(packets[0].stream.codec_context.extradata or b""))
    pictures = [sets * packet.is_keyframe + bytes(packet) for packet in packets]
    with av.open(str(clip)) as container:
        sounds = [bytes(packet) for packet in container.demux(audio=0) if packet.size and (packet.pts or 0) >= 0]
    assert len(pictures) == 100
    video = b"".join(media_data(data, entry.video.offset, entry.video.size) for entry in made.entries)
    written = [event.entry for event in events if isinstance(event, Wrote)]
    audio = b"".join(media_data(data, entry.audio[0].offset, entry.audio[0].size) for entry in written)
    assert video == b"".join(pictures)
    assert b"".join(sounds).startswith(audio)
    assert len(audio) > 100 * len(written)


def media_data(data: bytes, offset: int, size: int) -> bytes:
    moof = int.from_bytes(data[offset : offset + 4])
    return data[offset + moof + 8 : offset + size]


def test_everything_is_told_in_order_and_is_on_disk_by_then(clip: Path, tmp_path: Path) -> None:
    told: list[package.PackageEvent] = []

    def emit(event: package.PackageEvent) -> None:
        if isinstance(event, Wrote):
            spans = [(event.entry.video.offset, event.entry.video.size)]
            spans += [(one.offset, one.size) for one in event.entry.audio]
            data = (tmp_path / index.DATA_NAME).read_bytes()
            assert all(offset + size <= len(data) for offset, size in spans)
            fmp4.stamp(bytearray(data[spans[0][0] :]), 1, 0)
        if isinstance(event, Done):
            assert index.load(tmp_path) == event.index
        told.append(event)

    fd = intake.open_regular(clip)
    made = package.package(fd, tmp_path, Options(), emit)
    os.close(fd)
    assert isinstance(told[0], TracksFound)
    assert told[0].head == made.head
    assert told[0].seconds == 4.0
    chunks = [event for event in told if isinstance(event, Wrote)]
    assert without_audio(event.entry for event in chunks) == without_audio(made.entries[:-1])
    assert chunks[-1].done == pytest.approx(4 - 0.32)
    assert isinstance(told[-1], Done)


def test_a_package_that_is_stopped_leaves_no_index_and_is_made_again(clip: Path, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(event: package.PackageEvent) -> None:
        if isinstance(event, Wrote):
            raise StopError

    packaged(clip, tmp_path)
    fd = intake.open_regular(clip)
    with pytest.raises(StopError):
        package.package(fd, tmp_path, Options(), stop)
    os.close(fd)
    with pytest.raises(index.TornPackage):
        index.load(tmp_path)
    made, _ = packaged(clip, tmp_path)
    assert index.load(tmp_path) == made


def test_a_machine_that_is_short_of_something_says_nothing_about_the_file(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object, **__: object) -> None:
        raise av.error.BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(package, "_write", short)
    assert fault(clip, tmp_path) == "worker-unavailable"
    monkeypatch.setattr(av, "open", short)
    assert fault(clip, tmp_path) == "worker-unavailable"
    assert "worker-unavailable" not in HOPELESS


def test_a_channel_reads_on_in_the_old_data_while_it_is_packaged_again(clip: Path, tmp_path: Path) -> None:
    packaged(clip, tmp_path)
    with (tmp_path / index.DATA_NAME).open("rb") as old:
        before = old.read()
        packaged(clip, tmp_path)
        old.seek(0)
        assert old.read() == before


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file-empty"),
        (bytes(5000), "file-not-media"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "file-not-media"),
        (b"#EXTM3U\n#EXTINF:1,\nother.mp4\n", "file-not-media"),
        (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8, "file-not-media"),
        (random.Random(1).randbytes(20000), "file-not-media"),
        (b"x", "file-not-media"),
        (box(b"ftyp", b"isom", bytes(4)), "file-not-media"),
        (box(b"ftyp", b"isom", bytes(4)) + box(b"moov", bytes(100)), "file-not-media"),
        (box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", bytes(10000)), "file-not-media"),
    ],
)
def test_what_is_no_media_is_refused_with_the_reason(content: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "file.mp4"
    path.write_bytes(content)
    assert fault(path, tmp_path / "package") == code


DRM = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}


@pytest.mark.parametrize(
    "clip",
    [
        Clip(seconds=Fraction(1), sound=None, muxer=DRM),
        Clip(seconds=Fraction(1), sound=Fraction(1), muxer=DRM),
        Clip(seconds=Fraction(1), sound=None, muxer=DRM | {"movflags": "frag_keyframe+empty_moov"}),
        Clip(video=None, sound=Fraction(1), muxer=DRM),
    ],
    ids=["picture", "both", "fragments", "sound"],
)
def test_an_encrypted_file_is_told_so_and_not_called_damaged(clip: Clip, tmp_path: Path) -> None:
    path = clips.make(tmp_path / "drm.mp4", clip)
    assert fault(path, tmp_path / "package") == "file-encrypted"
    assert "file-encrypted" in HOPELESS


@pytest.mark.parametrize("audio", ["aac", "libmp3lame", "flac"])
@pytest.mark.parametrize("cover", [False, True])
def test_a_file_of_sound_alone_has_no_video_whatever_its_codec_and_its_cover(
    audio: str, cover: bool, tmp_path: Path
) -> None:
    path = clips.make(tmp_path / "song.mp4", Clip(video=None, sound=Fraction(1), audio=audio))
    if cover:
        path = with_cover(path, tmp_path / "covered.mp4")
    with pytest.raises(Fault, match="only sound, and no video") as caught:
        packaged(path, tmp_path / "package")
    assert caught.value.code == "no-video"
    assert "no-video" in HOPELESS


def with_cover(path: Path, covered: Path) -> Path:
    """The same sound and a picture that rides along, as music has it."""
    with av.open(str(path)) as song, av.open(str(covered), "w", format="mp4") as made:
        sound = made.add_stream_from_template(song.streams.audio[0])
        picture = made.add_stream("mjpeg", rate=1)
        assert isinstance(picture, VideoStream)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuvj420p"
        picture.disposition = Disposition.attached_pic
        frame = VideoFrame(64, 64, "yuvj420p")
        frame.pts = 0
        for packet in picture.encode(frame):
            made.mux(packet)
        for sounding in song.demux(audio=0):
            if sounding.size:
                sounding.stream = sound
                made.mux(sounding)
    return covered


def test_a_file_that_ends_before_its_index_is_no_media(clip: Path, tmp_path: Path) -> None:
    path = clips.make(tmp_path / "late.mp4", Clip(seconds=Fraction(1), sound=None))
    path.write_bytes(path.read_bytes()[:-20])
    assert fault(path, tmp_path / "package") == "file-not-media"


@pytest.mark.parametrize("table", ["stsz", "stts", "ctts", "trun"])
def test_an_index_that_declares_more_samples_than_bytes_is_never_shown_to_ffmpeg(table: str, tmp_path: Path) -> None:
    tables = {
        "stsz": box(b"stsz", bytes(4), struct.pack(">II", 1, 40_000_000)),
        "stts": box(b"stts", bytes(4), struct.pack(">III", 1, 40_000_000, 1)),
        "ctts": box(b"ctts", bytes(4), struct.pack(">III", 1, 40_000_000, 1)),
    }
    path = tmp_path / "bomb.mp4"
    if table == "trun":
        run = box(b"trun", bytes(4), struct.pack(">I", 40_000_000))
        data = box(b"moov", bytes(8)) + box(b"moof", box(b"traf", run))
    else:
        stbl = box(b"stbl", tables[table])
        data = box(b"moov", box(b"trak", box(b"mdia", box(b"minf", stbl))))
    path.write_bytes(box(b"ftyp", b"isom", bytes(4)) + data)
    assert fault(path, tmp_path / "package") == "limits-exceeded"


@pytest.mark.parametrize(("error", "code"), [(errno.ENOSPC, "capacity-exceeded"), (errno.EROFS, "internal")])
def test_a_disk_that_takes_no_more_is_no_fault_of_the_file(
    error: int, code: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(made: Index, folder: Path) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(index, "save", refuse)
    assert fault(clip, tmp_path / "package") == code
    assert code not in HOPELESS


def test_what_is_no_regular_file_is_refused_at_once(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's address has room for 107 bytes, which a folder for tests may use up
    pipe, folder, link = tmp_path / "pipe.mp4", tmp_path / "folder.mp4", tmp_path / "link.mp4"
    os.mkfifo(pipe)
    folder.mkdir()
    link.symlink_to(clip)
    listening = tmp_path / "socket.mp4"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(listening.name)
        for path in (pipe, folder, link, listening, Path("/dev/null")):
            with pytest.raises(Fault, match="file-not-regular"):
                intake.open_regular(path)
    for path in (tmp_path / "none.mp4", Path("a\0b"), Path("x" * 4096)):
        with pytest.raises(Fault, match="file-not-found"):
            intake.open_regular(path)


def test_random_damage_ends_in_a_package_or_a_fault_and_never_in_another_error(clip: Path, tmp_path: Path) -> None:
    chance = random.Random(4)
    good = clip.read_bytes()
    outcomes = set()
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(chance.choice([1, 4, 40])):
            bad[chance.randrange(len(bad) if chance.random() < 0.5 else 6000)] = chance.randrange(256)
        path = tmp_path / "bad.mp4"
        path.write_bytes(bytes(bad))
        try:
            made, _ = packaged(path, tmp_path / "package")
            made.check()
            outcomes.add("played")
        except Fault as error:
            outcomes.add(error.code)
    assert "played" in outcomes
    assert outcomes - {"played"} <= {"file-not-media", "limits-exceeded", "codec-unsupported"}


class Recorder(GatewaySocket):
    """A worker's channel without a gateway: keeps what is sent; `stop_after` messages it is told to stop."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.told: list[messages.Message] = []
        self.stopping = stop_after == 0
        self._stop_after = stop_after

    def send(self, message: messages.Message) -> None:
        self.told.append(messages.decode(*next(iter(Decoder().feed(messages.encode(message))))))
        self.stopping = len(self.told) >= self._stop_after


def test_a_worker_tells_the_gateway_all_that_a_channel_needs(clip: Path, tmp_path: Path) -> None:
    channel = Recorder()
    package.run(channel, {"path": str(clip), "folder": str(tmp_path)})
    made = index.load(tmp_path)
    progress = [message.info for message in channel.told if isinstance(message, TaskProgress)]
    assert [index.Head.unpacked(info["head"]) for info in progress if "head" in info] == [made.head]
    chunks = [index.Entry.unpacked(info["chunk"]) for info in progress if "chunk" in info]
    assert without_audio(chunks) == without_audio(made.entries[:-1])
    assert [at for at, message in enumerate(channel.told) if isinstance(message, TaskReady)] == [8]
    assert channel.told[-1] == Finished({"seconds": 4.0})


def test_a_short_file_is_ready_when_it_is_finished(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "clip.mp4", Clip(seconds=Fraction(1), sound=None))
    channel = Recorder()
    package.run(channel, {"path": str(path), "folder": str(tmp_path)})
    assert isinstance(channel.told[-1], Finished)
    assert isinstance(channel.told[-2], TaskReady)


def test_a_worker_that_is_told_to_stop_leaves_no_package(clip: Path, tmp_path: Path) -> None:
    channel = Recorder(stop_after=3)
    package.run(channel, {"path": str(clip), "folder": str(tmp_path)})
    assert channel.told[-1] == Finished({"stopped": True})
    with pytest.raises(index.TornPackage):
        index.load(tmp_path)
