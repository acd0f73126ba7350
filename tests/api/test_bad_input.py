"""Bad input: each a problem document with a stable code, no job where it can be seen beforehand, nothing left."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.jobs.failures import FAILURES
from tests.support.api import Answer, Api
from tests.support.conforming import described

VOD = "/vod/startup"
RTSP = "/rtsp/startup"
PICTURE = "/watermark/startup"


def check_problem(answer: Answer, status: int, code: str) -> None:
    """RFC 9457, with the members that api.md promises."""
    assert (answer.status, answer.body.get("code")) == (status, code), answer.body
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.body["status"] == status
    assert answer.body["retryable"] is FAILURES[code].retryable
    assert {"type", "title", "detail", "instance", "requestId"} <= set(answer.body)


async def job_count(api: Api) -> int:
    return len((await api.get("/rest-api/v3/jobs/find_all")).body)


def vod(uri: str, **more: Any) -> dict[str, Any]:
    return {"uri": uri, "localStreamName": "x", **more}


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (VOD, {}, 422, "invalid-field"),
        (VOD, {"uri": "vod-live://sample.mp4"}, 422, "invalid-field"),
        (VOD, vod("vod-live://sample.mp4", loop=1), 422, "invalid-field"),
        (VOD, vod("vod-live://sample.mp4", loop="yes"), 422, "invalid-field"),
        (VOD, vod(7), 422, "invalid-field"),  # type: ignore[arg-type]
        (VOD, vod("http://sample.mp4"), 422, "unsupported-scheme"),
        (VOD, vod("vod://sample.mp4"), 422, "unsupported-scheme"),
        (VOD, vod("vod-live://../sample.mp4"), 422, "invalid-field"),
        (VOD, vod("vod-live:///etc/passwd"), 422, "invalid-field"),
        (VOD, vod("vod-live://a/../../sample.mp4"), 422, "invalid-field"),
        (VOD, vod("vod-live://sample.mp4\u0000"), 422, "invalid-field"),
        (VOD, vod("vod-live://" + "a" * 4096), 422, "invalid-field"),
        (VOD, vod("vod-live://none.mp4"), 404, "file-not-found"),
        (VOD, vod("vod-live://link-out.mp4"), 404, "file-not-found"),
        (VOD, vod("vod-live://folder"), 422, "file-not-regular"),
        (VOD, vod("vod-live://pipe.mp4"), 422, "file-not-regular"),
        (VOD, {"uri": "vod-live://sample.mp4", "localStreamName": "a/b"}, 422, "invalid-field"),
        (VOD, {"uri": "vod-live://sample.mp4", "localStreamName": ".."}, 422, "invalid-field"),
        (VOD, {"uri": "vod-live://sample.mp4", "localStreamName": "x.mp4"}, 422, "invalid-field"),
        (VOD, {"uri": "vod-live://sample.mp4", "localStreamName": "x" * 129}, 422, "invalid-field"),
        (RTSP, {"uri": "ftp://host/live"}, 422, "unsupported-scheme"),
        (RTSP, {"uri": "rtsp://"}, 422, "invalid-field"),
        (RTSP, {"uri": "rtsp://host:99999/"}, 422, "invalid-field"),
        (RTSP, {"uri": "rtsp://user:***@host/"}, 422, "invalid-field"),
        (RTSP, {"uri": "rtsp://host/", "transport": "carrier-pigeon"}, 422, "invalid-field"),
        (PICTURE, {"watermark": "none.png"}, 404, "image-not-found"),
        (PICTURE, {"watermark": "../logo.png"}, 422, "invalid-field"),
        (PICTURE, {"watermark": "pipe.mp4"}, 422, "file-not-regular"),
        ("/rtsp/terminate", {}, 400, "bad-request"),
        ("/stream/terminate", {}, 400, "bad-request"),
        ("/stream/terminate", {"name": "nobody"}, 404, "not-found"),
        ("/stream/find", {"name": "nobody"}, 404, "not-found"),
        ("/jobs/find", {"id": "0" * 32}, 404, "job-unknown"),
        ("/jobs/find", {"id": "../../x"}, 404, "job-unknown"),
        ("/jobs/terminate", {"id": "0" * 32}, 404, "job-unknown"),
        ("/jobs/terminate", {}, 422, "invalid-field"),
        ("/no/such/method", {}, 404, "not-found"),
    ],
)
async def test_what_can_be_seen_beforehand_is_refused_without_a_job(
    api: Api, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    root = api.gateway.settings.media_dir
    os.mkfifo(root / "pipe.mp4")
    (root / "folder").mkdir()
    (root / "link-out.mp4").symlink_to("/etc/hostname")
    answer = await api.post(path, body)
    check_problem(answer, status, code)
    assert "Job-Id" not in answer.headers
    assert await job_count(api) == 0
    assert api.gateway.workers.alive == 0


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"uri": NaN}', b"[" * 100_000])
async def test_a_body_that_is_no_json_object_is_a_bad_request(api: Api, data: bytes) -> None:
    answer = await api.post(VOD, data=data[: 60 * 1024])
    check_problem(answer, 400, "bad-request")
    assert await job_count(api) == 0


async def test_a_body_over_the_limit_is_too_large(api: Api) -> None:
    answer = await api.post(VOD, vod("vod-live://" + "a" * 100_000))
    check_problem(answer, 413, "too-large")


async def test_a_wrong_method_is_405_and_says_which_are_right(api: Api) -> None:
    answer = await api.get("/rest-api/v3/vod/startup")
    check_problem(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["Allow"]


async def test_unknown_fields_are_told_and_with_strict_handling_refused(api: Api) -> None:
    body = {"watermark": "logo.png", "shoeSize": 43}
    told = await api.post(PICTURE, body)
    assert told.status == 200
    assert told.body["warnings"] == [
        {"code": "unknown-field", "detail": "Ignored, as this method has no such field: shoeSize."}
    ]
    refused = await api.post(PICTURE, body, prefer="handling=strict")
    check_problem(refused, 422, "invalid-field")
    assert refused.body["errors"] == [{"field": "shoeSize", "detail": "There is no such field."}]


async def test_an_unknown_field_within_a_field_is_told_by_its_path_and_with_strict_handling_refused(api: Api) -> None:
    mark = {"file": "logo.png", "x": None, "foo": 1, "none": None}
    body = vod("vod-live://short.mp4", watermark=mark, bar=2)
    refused = await api.post(VOD, body, prefer="handling=strict")
    check_problem(refused, 422, "invalid-field")
    assert [each["field"] for each in refused.body["errors"]] == ["bar", "watermark.foo"]
    told = await api.done(VOD, body)
    detail = "Ignored, as this method has no such field: bar, watermark.foo."
    assert told.body["warnings"] == [{"code": "unknown-field", "detail": detail}]
    encoder = {"watermrk": "logo.png", "keyFrameInterval": 10, "watermark": {"file": "logo.png", "foo": 1}, "fps": "x"}
    body = {"uri": "transcoder://t", "remoteStreamName": "x", "localStreamName": "y", "encoder": encoder}
    refused = await api.post("/transcoder/startup", body, prefer="handling=strict")
    fields = ["encoder.watermark.foo", "encoder.watermrk", "encoder.fps"]  # those that are wrong, too
    assert [each["field"] for each in refused.body["errors"]] == fields


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/stream/history", {"name": "nobody", "nmae": "x"}, 404),
        ("/session/start", {"key": "x", "nmae": "x"}, 200),
    ],
)
async def test_methods_that_select_nothing_refuse_unknown_fields_with_strict_handling_alone(
    api: Api, path: str, body: dict[str, Any], status: int
) -> None:
    assert (await api.post(path, body)).status == status
    assert (await api.post(path, body, prefer="handling=lenient")).status == status
    refused = await api.post(path, body, prefer="handling=strict")
    check_problem(refused, 422, "invalid-field")
    assert refused.body["errors"] == [{"field": "nmae", "detail": "There is no such field."}]
    assert "Prefer" in refused.headers["Vary"]
    known = {name: value for name, value in body.items() if name != "nmae"}
    assert (await api.post(path, known, prefer="handling=strict")).status == status
    parameters = described()["paths"][f"/rest-api/v3{path}"]["post"]["parameters"]
    assert [each["name"] for each in parameters] == ["Prefer"]


async def test_no_depth_of_a_body_is_too_much_for_the_gateway(api: Api) -> None:
    seen = set()
    for depth in range(800, 1010):  # some can be read and not be written again
        answer = await api.post(VOD, data=b'{"uri":' + b"[" * depth + b"]" * depth + b"}")
        seen.add((answer.status, answer.body["code"]))
    assert seen == {(400, "bad-request"), (422, "invalid-field")}


async def test_what_is_wrong_with_a_body_is_called_by_its_name(api: Api) -> None:
    deep = await api.post(VOD, data=b"[" * 5000 + b"]" * 5000)
    check_problem(deep, 400, "bad-request")
    assert deep.body["detail"] == "The body is nested too deeply."
    mixed = await api.post(VOD, vod([5]))  # type: ignore[arg-type]
    assert mixed.body["errors"] == [{"field": "uri", "detail": "each address in a list is a string"}]
    long = await api.post(VOD, vod(["vod-live://short.mp4"] * 101))  # type: ignore[arg-type]
    assert long.body["errors"] == [{"field": "uri", "detail": "a list of files has 1 to 100 addresses"}]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("text.mp4", b"ffconcat version 1.0\nfile sample.mp4\n", "file-not-media"),
        ("empty.mp4", b"", "file-empty"),
        ("zeros.mp4", bytes(100_000), "file-not-media"),
        ("picture.mp4", b"\xff\xd8\xff\xe0" + bytes(1000), "file-not-media"),
    ],
)
async def test_a_file_that_is_no_video_fails_with_its_reason(api: Api, name: str, content: bytes, code: str) -> None:
    (api.gateway.settings.media_dir / name).write_bytes(content)
    answer = await api.post(VOD, vod(f"vod-live://{name}"))
    check_problem(answer, 422, code)
    assert answer.body["job"]["state"] == "FAILED"
    assert answer.headers["Job-Id"] == answer.body["job"]["id"]
    assert api.gateway.workers.alive == 0
    check_problem(await api.post("/stream/find", {"name": "x"}), 404, "not-found")


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("text.png", b"not a picture", "image-not-supported"),
        ("vector.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image-not-supported"),
        ("broken.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "image-corrupt"),
        ("broken.jpg", b"\xff\xd8\xff\xe0\x00\x02", "image-corrupt"),
        ("empty.png", b"", "image-corrupt"),
    ],
)
async def test_a_picture_that_is_none_fails_with_its_reason(api: Api, name: str, content: bytes, code: str) -> None:
    (api.gateway.settings.media_dir / name).write_bytes(content)
    check_problem(await api.post(PICTURE, {"watermark": name}), 422, code)
    assert api.gateway.workers.alive == 0


async def test_a_truncated_picture_is_corrupt(api: Api) -> None:
    root = api.gateway.settings.media_dir
    (root / "half.png").write_bytes((root / "logo.png").read_bytes()[:1500])
    check_problem(await api.post(PICTURE, {"watermark": "half.png"}), 422, "image-corrupt")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on loopback that nobody listens on, and nobody else gets meanwhile."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


async def test_a_refused_port_is_told_at_once(api: Api, closed_port: int) -> None:
    answer = await api.post(RTSP, {"uri": f"rtsp://127.0.0.1:{closed_port}/live"})
    check_problem(answer, 502, "source-refused")
    assert answer.body["job"]["elapsedMs"] < 3000  # 5 s are the limit of who does not notice
    assert answer.body["phase"] == "connecting"


async def test_an_address_of_the_link_is_forbidden(api: Api) -> None:
    answer = await api.post(RTSP, {"uri": "rtsp://169.254.169.254/live"})
    check_problem(answer, 403, "source-forbidden")


CANARY = "s3cret-canary@:/%#?"


async def test_a_wrong_password_is_told_and_never_shown(
    settings: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from urllib.parse import quote

    import aiohttp

    from gateway.app import Gateway
    from media.faultcamera.server import Camera
    from media.faultcamera.settings import CameraSettings

    caplog.set_level("DEBUG")
    seen: list[str] = []
    async with (
        Camera(CameraSettings(user="admin", password="right")) as camera,
        Gateway(settings) as gateway,
        aiohttp.ClientSession() as session,
    ):
        api = Api(gateway, session)
        uri = camera.url.replace("rtsp://", f"rtsp://admin:{quote(CANARY, safe='')}@")
        answer = await api.post(RTSP, {"uri": uri, "localStreamName": "guarded"})
        check_problem(answer, 502, "source-auth-failed")
        job_id = answer.headers["Job-Id"]
        read = [await api.get(f"/rest-api/v3/jobs/{job_id}"), await api.get(f"/rest-api/v3/jobs/{job_id}/result")]
        seen += [json.dumps(each.body) + str(each.headers) for each in (answer, *read)]
        assert answer.body["job"]["request"]["body"]["hasCredentials"] is True
    seen += [caplog.text, *capfd.readouterr()]
    store = b"".join(path.read_bytes() for path in settings.data_dir.iterdir() if path.is_file())
    for secret in (CANARY, quote(CANARY, safe="")):
        assert not any(secret in text for text in seen)
        assert secret.encode() not in store


async def test_a_name_and_an_address_in_use_are_conflicts(api: Api) -> None:
    first = await api.post(VOD, vod("vod-live://short.mp4", loop=True))
    assert first.status == 200, first.body
    again = await api.post(VOD, vod("vod-live://sample.mp4", loop=True))
    check_problem(again, 409, "name-in-use")
    taken = await api.post(RTSP, {"uri": "rtsp://127.0.0.1:9/live", "localStreamName": "x"})
    check_problem(taken, 409, "name-in-use")


async def test_a_name_that_a_job_works_on_is_busy(api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live"
        first = await api.post(RTSP, {"uri": uri, "localStreamName": "x"}, prefer="wait=0, timeout=30")
        assert first.status == 202
        again = await api.post(VOD, vod("vod-live://sample.mp4"))
        check_problem(again, 409, "resource-busy")
        assert int(again.headers["Retry-After"]) >= 1
        assert again.body["holder"] == first.body["id"]
        await api.post("/jobs/terminate", {"id": first.body["id"]})
