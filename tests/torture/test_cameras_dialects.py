"""Cameras that speak a dialect of RTSP: the picture plays, with its sound where there is any, and a warning says so."""

import ssl
import warnings as python_warnings
from pathlib import Path
from typing import Any

import pytest

from tests.peers.tls_front import behind_tls, certificate
from tests.support.api import Api
from tests.support.torture_cameras import camera, chunks, gateway, media, record, sounds, start, warnings

pytestmark = pytest.mark.media


async def heard(api: Api) -> bool:
    """Whether the tone of the camera is in what came out, and not only promised."""
    run = [chunk for chunk in await chunks(api) if chunk.init.audio is not None]
    return bool(run) and max((loud for _, loud in sounds(run)), default=0.0) > 0.01


@pytest.mark.parametrize(
    "fault",
    [
        *("answer=OPTIONS:404", "answer=OPTIONS:405", "answer=OPTIONS:501", "silent=OPTIONS"),
        *("describe=loudspeaker", "describe=null_audio", "play_201", "miscount"),
    ],
)
async def test_a_dialect_plays_with_its_sound(api: Api, fault: str) -> None:
    async with camera(fault) as peer:
        opened = await start(api, peer.url)
        assert opened.status == 200, opened.body
        await media(api, 1.5)
        assert await heard(api)
        assert (await record(api))["restarts"] == 0


@pytest.mark.parametrize("status", [404, 415, 461, 500])
@pytest.mark.parametrize("transport", ["tcp", "auto"])
async def test_sound_whose_setup_is_refused_does_not_stop_the_picture(api: Api, status: int, transport: str) -> None:
    async with camera(f"refuse_sound={status}") as peer:
        opened = await start(api, peer.url, transport=transport)
        assert (opened.status, opened.body.get("audio"), opened.body.get("transport")) == (200, None, "tcp")
        await media(api, 1.0)
        assert "audio-refused" in await warnings(api)


async def test_a_camera_that_refuses_every_setup_is_told_by_its_own_words(api: Api) -> None:
    async with camera("answer=SETUP:415") as peer:
        refused = await start(api, peer.url, transport="tcp")
    assert (refused.status, refused.body["code"], refused.body["phase"]) == (502, "source-protocol-error", "setup")
    assert "415" in refused.body["detail"]


@pytest.mark.parametrize("seconds", [100, -100, 3600])
async def test_sound_that_is_said_to_be_far_from_the_picture_is_played_with_what_it_arrives_with(
    api: Api, seconds: int
) -> None:
    async with camera(f"misplace_sound={seconds}") as peer:
        assert (await start(api, peer.url)).status == 200
        await media(api, 2.5)
        assert await heard(api)
        assert "sound-misplaced" in await warnings(api)


async def test_an_algorithm_in_small_letters_is_the_same(api: Api) -> None:
    async with camera("small_algorithm", user="u", password="p") as peer:
        assert (await start(api, peer.login_url)).status == 200
        await media(api, 1.0)


async def test_a_camera_of_one_connection_that_is_slow_to_let_go_is_asked_again(api: Api) -> None:
    async with camera("hold_on=2") as peer:
        opened = await start(api, peer.url, transport="tcp")
        assert opened.status == 200, opened.body
        await media(api, 1.0)
        assert "slow-to-let-go" in await warnings(api)


@pytest.mark.parametrize("newest", ["TLSv1", "TLSv1_1"])
@pytest.mark.parametrize(("oldest", "opened"), [("1.0", True), ("1.2", False)])
async def test_an_older_tls_is_spoken_by_permission(tmp_path: Path, newest: str, oldest: str, opened: bool) -> None:
    context = certificate("camera.factory")
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion[newest]
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    settings: dict[str, Any] = {"tls_min": oldest}
    async with gateway(tmp_path, **settings) as api, camera() as peer, behind_tls(peer.port, context) as port:
        told = await start(api, f"rtsps://127.0.0.1:{port}/live")
        assert told.status == (200 if opened else 502), told.body
        if opened:
            await media(api, 1.0)
        else:
            assert "tls_min" in told.body["detail"]
