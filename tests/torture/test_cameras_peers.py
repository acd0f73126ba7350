"""The camera rows against a stack that we did not write: GStreamer's RTSP server."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.peers import ffmpeg, gst
from tests.support.torture_cameras import chunks, decoded, gateway, media, start, warnings

pytestmark = [pytest.mark.media, pytest.mark.debian]

PEERS: Final = {
    "h264-opus": (f"{gst.H264} {gst.OPUS}", "h264", "tcp"),
    "h265-pcma": (f"{gst.H265} {gst.PCMA}", "h265", "tcp"),
    "h264-aac-udp": (f"{gst.H264} {gst.AAC}", "h264", "udp"),
    "h265-pcma-udp": (f"{gst.H265} {gst.PCMA}", "h265", "udp"),
    "jpeg-opus": (f"{gst.JPEG} {gst.OPUS}", "h264", "tcp"),
    "vp8-aac-udp": (f"{gst.VP8} {gst.AAC}", "h264", "udp"),
}


@pytest.mark.timeout(300)
async def test_C18_C19_C20_C43_gstreamer_by_tcp_and_udp(tmp_path: Path) -> None:
    async with gateway(tmp_path) as api:

        async def one(name: str) -> None:
            launch, codec, transport = PEERS[name]
            async with gst.gst_camera(launch) as url:
                opened = await start(api, url, name, prefer="wait=30, timeout=30", transport=transport)
                assert opened.status == 200, (name, opened.body)
                stream = opened.body
                assert (stream["transport"], stream["video"]["codec"]) == (transport, codec), name
                assert stream["audio"]["codec"] == "aac", name
                await media(api, 2.5, name)
                run = await chunks(api, name)
                assert (stream["video"]["mode"] == "transcode") is name.startswith(("jpeg", "vp8")), name
                assert len(decoded(run)) > 40, name
                assert await warnings(api, name) <= {"overloaded"}, name  # which a busy machine may be
                read = await ffmpeg.packets(f"{api.gateway.url}/live/{name}/index.m3u8", 2.0)
                times = [float(packet["pts_time"]) for packet in read["video"]]
                assert len(times) >= 5, name  # it reads until the sound is over, which on a busy machine is ahead
                steps = [(b - a) / 0.04 for a, b in pairwise(times)]
                whole = [max(1, round(step)) for step in steps]
                assert steps == pytest.approx(whole, abs=0.25), (name, times)
                if transport == "tcp" and not await warnings(api, name):  # nothing was lost or left out
                    assert max(steps) < 1.25, (name, times)
                assert len(read["audio"]) >= 40, name

        names = list(PEERS)
        await asyncio.gather(*map(one, names[:2]))
        await asyncio.gather(*map(one, names[2:4]))
        await asyncio.gather(*map(one, names[4:]))
