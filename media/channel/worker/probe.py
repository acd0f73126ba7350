"""Looks into one file: its tracks, its length, and what of it would have to be encoded anew. A task of a worker."""

import os
from pathlib import Path
from typing import Any

from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from media.channel.worker import file_sound, file_tracks, transcode_file
from media.channel.worker.package import promised
from media.codecs import libav
from media.mp4 import intake
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Finished


def run(channel: GatewaySocket, spec: dict[str, Any]) -> None:
    """The task of a worker. `spec["path"]` is the file. Answers `Finished` with what `probe` gives. Raises `Fault` as
    `package.package` does.
    """
    fd = intake.open_regular(Path(spec["path"]))
    try:
        channel.send(Finished(probe(fd)))
    finally:
        os.close(fd)


def probe(fd: int) -> dict[str, Any]:
    """What is in a file: `duration` in seconds, `video` and `audio` (None without any), each with codec, `mode` and
    `reason`.
    """
    survey = intake.survey(fd)
    with file_tracks.open_container(fd, survey) as container:
        why = transcode_file.reasons(container, fd, survey, marked=False)
        video, audio = file_tracks.pick_video(container), file_sound.pick_audio(container)
        return {
            "duration": round(promised(container), 3),
            "video": _video(video) | _mode(why.video),
            "audio": None if audio is None else _audio(audio) | _mode(why.audio),
        }


def _mode(reason: str) -> dict[str, Any]:
    return {"mode": "transcode" if reason else "copy", "reason": reason or None}


def _video(track: VideoStream) -> dict[str, Any]:
    context, rate = track.codec_context, track.average_rate
    fps = None if rate is None else round(float(rate), 3)
    return {"codec": libav.name_of(context), "width": context.width, "height": context.height, "fps": fps}


def _audio(track: AudioStream) -> dict[str, Any]:
    context = track.codec_context
    return {"codec": libav.name_of(context), "sampleRate": context.sample_rate, "channels": context.channels}
