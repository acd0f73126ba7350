"""Tests of media/camera/preflight.py against the sample camera: another author's reading of the same RFCs."""

from dataclasses import replace

import pytest

from media.camera.spec import CameraSpec
from media.faultcamera.server import Camera
from media.faultcamera.settings import SCHEMES, CameraSettings, ClipSettings, Scheme
from media.net.secrets import Secret
from tests.support.camera_peers import fault_of, go

CLIP = ClipSettings(width=160, height=96)
PASSWORD = "p@ss:w/ö%r#d?"

pytestmark = pytest.mark.media


def spec_of(camera: Camera, timeout: float = 5.0) -> CameraSpec:
    return CameraSpec(camera.url, camera.settings.user, Secret(camera.settings.password), connect_timeout=timeout)


async def test_the_sample_camera_is_described() -> None:
    async with Camera(CameraSettings(clip=CLIP)) as camera:
        described = await go(spec_of(camera))
        assert not camera.sessions
    assert [(track.media, track.codec) for track in described.tracks] == [("video", "h264"), ("audio", "aac")]
    assert described.tracks[0].parameters()["sprop-parameter-sets"]
    assert described.warnings == ()
    assert {"DESCRIBE", "SETUP", "PLAY"} <= set(described.public)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_the_sample_camera_lets_in_who_knows_the_password(scheme: Scheme) -> None:
    async with Camera(CameraSettings(clip=CLIP, user="admin", password=PASSWORD, auth=scheme)) as camera:
        assert (await go(spec_of(camera))).credentials
        assert len(camera.requests) <= 3
        fault = await fault_of(replace(spec_of(camera), password=Secret("wrong")))
        assert (fault.code, fault.phase) == ("source-auth-failed", "describing")
        assert len(camera.requests) <= 6


@pytest.mark.parametrize(
    ("given", "code", "phase"),
    [
        ("silent=DESCRIBE", "source-timeout", "describing"),
        ("answer=DESCRIBE:453", "source-busy", "describing"),
        ("answer=DESCRIBE:503", "source-busy", "describing"),
        ("answer=DESCRIBE:454", "source-protocol-error", "describing"),
    ],
)
async def test_a_fault_of_the_sample_camera_has_its_name(given: str, code: str, phase: str) -> None:
    async with Camera(CameraSettings(clip=CLIP, faults=(given,))) as camera:
        fault = await fault_of(spec_of(camera, 1.0 if code == "source-timeout" else 20.0))
    assert (fault.code, fault.phase) == (code, phase)


@pytest.mark.parametrize("given", ["small_algorithm", "miscount", "describe=loudspeaker", "describe=null_audio"])
async def test_a_dialect_on_which_ffmpeg_would_fail_is_for_the_relay(given: str) -> None:
    for faults, relay in (((given,), True), ((), False)):
        async with Camera(CameraSettings(clip=CLIP, user="admin", password=PASSWORD, faults=faults)) as camera:
            assert (await go(spec_of(camera))).relay == relay


async def test_a_camera_that_never_answers_options_is_asked_to_describe_itself() -> None:
    async with Camera(CameraSettings(clip=CLIP, faults=("silent=OPTIONS",))) as camera:
        described = await go(spec_of(camera, 2.0))
    assert described.warnings == ("options-unanswered",)
    assert not described.options
    assert len(described.tracks) == 2


async def test_an_answer_to_options_that_comes_too_late_is_not_taken_for_one_to_describe() -> None:
    async with Camera(CameraSettings(clip=CLIP, faults=("delay=OPTIONS:1",))) as camera:
        described = await go(spec_of(camera, 2.5))  # three tenths of it are for OPTIONS
    assert described.warnings == ("options-unanswered",)
    assert len(described.tracks) == 2


async def test_a_wrong_path_is_not_found() -> None:
    async with Camera(CameraSettings(clip=CLIP)) as camera:
        fault = await fault_of(replace(spec_of(camera), uri=f"{camera.url}/elsewhere"))
    assert fault.code == "source-not-found"
