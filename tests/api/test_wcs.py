"""The calls of WCS 5.2 below `/rest-api`, as its public pages show them: names of members, statuses, empty bodies."""

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.settings import Settings
from gateway.web.calls.status_words import LIVE_IN, OURS, THEIRS, StatusWord, word_of
from gateway.web.wcs.calls import ABSENT, CALLS
from gateway.web.wcs.stat import GROUPS
from media.faultcamera.server import Camera
from media.stream import Status
from tests.support.api import Answer, Api
from tests.support.processes import until

ROOT = Path(__file__).parents[2]
# By name, as https://docs.flashphoner.com shows them (WCS 5.2, REST API).
STREAM = {
    "nodeId", "appKey", "sessionId", "mediaSessionId", "name", "published", "hasVideo", "hasAudio", "status",
    "audioCodec", "videoCodec", "record", "width", "height", "bitrate", "minBitrate", "maxBitrate", "quality",
    "history", "gop", "fps", "audioBitrate", "codecImpl", "transport", "createDate", "mediaType", "mediaProvider",
    "audioState", "videoState",
}  # fmt: skip
RTSP_AGENT = {"uri", "status", "localMediaSessionId"}
VOD_AGENT = {"localMediaSessionId", "localStreamName", "uri", "status", "hasAudio", "hasVideo", "record", "loop"}
TRANSCODER_AGENT = (VOD_AGENT - {"loop"}) | {"remoteStreamName", "encoder"}
METRICS = {f"VIDEO_{name}" for name in ("WIDTH", "HEIGHT", "RATE", "FPS", "LOST", "NACK", "B_FRAMES")}
ENCODER = {"width": 640, "height": 480, "keyFrameInterval": 30, "fps": 30, "watermark": "logo.png"}


async def ask(api: Api, path: str, body: Any = None, method: str = "POST", **headers: str) -> Answer:
    """A call below `/rest-api`; the body of the answer as JSON, None when it is empty."""
    url = f"{api.gateway.url}/rest-api/{path}"
    async with api.session.request(method, url, json=body, headers=headers) as response:
        text = await response.text()
        return Answer(response.status, response.headers, json.loads(text) if text else None)


@pytest.fixture
async def wcs(api: Api, camera: Camera) -> Api:
    """A camera `yard` and a channel `test`, started as WCS's pages say."""
    for path, body in (
        ("rtsp/startup", {"uri": camera.url, "toStream": "yard"}),
        ("vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": "test", "loop": "true"}),
    ):
        started = await ask(api, path, body, Prefer="respond-async, wait=0")
        assert (started.status, started.body) == (200, None)
    return api


async def found(api: Api, path: str, body: Any = None) -> list[Any]:
    """What a find gives, or nothing for a 404."""
    answer = await ask(api, path, body)
    assert answer.status in (200, 404), answer.body
    return list(answer.body) if answer.status == 200 else []


async def test_each_object_has_the_members_that_the_pages_of_wcs_show(wcs: Api, camera: Camera) -> None:
    body = {"uri": "transcoder://tcode1", "remoteStreamName": "test", "localStreamName": "testT", "encoder": ENCODER}
    assert (await ask(wcs, "transcoder/startup", body)).status == 200
    streams = {each["name"]: each for each in await found(wcs, "stream/find_all")}
    assert set(streams) == {"yard", "test", "testT"}
    for name, stream in streams.items():
        assert set(stream) == (STREAM if stream["hasAudio"] else STREAM - {"audioCodec"}), name
        assert (stream["published"], stream["mediaType"], stream["status"]) == (True, "publish", "PUBLISHING")
        assert (stream["hasVideo"], stream["videoCodec"], stream["record"]) == (True, "H264", False)
    assert [streams[name]["mediaProvider"] for name in ("yard", "test", "testT")] == ["RTSP", "VOD", "TRANSCODER"]
    assert streams["test"]["audioCodec"] == "mpeg4-generic/48000/1"
    assert 1_600_000_000_000 < streams["yard"]["createDate"] < 10_000_000_000_000
    for path, members, word in (
        ("rtsp/find_all", RTSP_AGENT, "PLAYING"),
        ("vod/find_all", VOD_AGENT, "PROCESSED_LOCAL"),
        ("transcoder/find_all", TRANSCODER_AGENT, "PROCESSED_LOCAL"),
        ("pull/find_all", RTSP_AGENT | {"localStreamName", "remoteStreamName"}, "PLAYING"),
    ):
        (agent,) = await found(wcs, path)
        assert (set(agent), agent["status"]) == (members, word)
    (transcoder,) = await found(wcs, "transcoder/find", {"remoteStreamName": "test"})
    assert transcoder["encoder"] == ENCODER
    mark = await ask(wcs, "transcoder/set_watermark", {"uri": "transcoder://tcode1", "watermark": "logo.png"})
    assert (mark.status, mark.body) == (200, None)
    picture = await ask(wcs, "stream/snapshot", {"streamName": "test"})
    assert (picture.status, set(picture.body)) == (200, {"data"})
    assert (await ask(wcs, "watermark/startup", {"watermark": "logo.png"})).body["format"] == "png"


async def test_what_is_there_is_found_by_each_of_its_members_and_by_no_other_value(wcs: Api, camera: Camera) -> None:
    (yard,) = await found(wcs, "stream/find", {"name": "yard"})
    for name in STREAM - {"audioState", "videoState", "bitrate", "audioCodec"}:
        value = yard[name]
        if value is not None:
            assert "yard" in [each["name"] for each in await found(wcs, "stream/find", {name: value})], name
        other = not value if isinstance(value, bool) else "FAILED" if name == "status" else "something-else"
        names = [each["name"] for each in await found(wcs, "stream/find", {"name": "yard", name: other})]
        assert names == [], name
    assert await found(wcs, "stream/find", {"mediaSessionId": "no-such-id"}) == []
    ids = {"mediaSessionIds": [yard["mediaSessionId"], "no-such-id"]}
    assert [each["name"] for each in await found(wcs, "stream/find", ids)] == ["yard"]
    assert [each["name"] for each in await found(wcs, "stream/find", {"name": camera.url})] == ["yard"]
    nulls = {"mediaSessionId": None, "name": None, "published": None}
    assert len(await found(wcs, "stream/find", nulls)) == 2
    by_get = await ask(wcs, "stream/find?published=true&status=PUBLISHING&name=yard", method="GET")
    assert [each["name"] for each in by_get.body] == ["yard"]
    for path, body in (
        ("rtsp/find", {"uri": camera.url, "status": "PLAYING"}),
        ("vod/find", {"localStreamName": "test"}),
        ("vod/find", {"status": "PROCESSED_LOCAL", "loop": True}),
        ("pull/find", {"localStreamName": "yard", "remoteStreamName": "yard"}),
    ):
        assert len(await found(wcs, path, body)) == 1
    assert await found(wcs, "rtsp/find", {"status": "FAILED"}) == []


async def test_statuses_are_those_that_wcs_has_and_500_for_all_else(wcs: Api, camera: Camera) -> None:
    expected: list[tuple[str, Any, int, str]] = [
        ("rtsp/startup", {"uri": camera.url}, 409, "uri-in-use"),
        ("vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": "test"}, 409, "name-in-use"),
        ("vod/startup", {"uri": "vod-live://none.mp4", "localStreamName": "a"}, 500, "file-not-found"),
        ("vod/startup", {"uri": "vod://short.mp4", "localStreamName": "a"}, 500, "unsupported-scheme"),
        ("rtsp/startup", {"uri": "rtsp://127.0.0.1:1/none"}, 500, "source-refused"),
        ("rtsp/startup", None, 500, "invalid-field"),
        (
            "transcoder/startup",
            {"uri": "x", "remoteStreamName": "a", "localStreamName": "b"},
            400,
            "unsupported-scheme",
        ),
        ("transcoder/set_watermark", {"uri": "transcoder://none"}, 404, "not-found"),
        ("stream/snapshot", {"streamName": "none"}, 404, "not-found"),
        ("stream/find", {"name": "none"}, 404, "not-found"),
        ("stream/find", {"nmae": "yard"}, 500, "invalid-field"),
        ("stream/find", {"status": "GONE"}, 500, "invalid-field"),
        ("stream/find", {"name": ["yard"]}, 500, "invalid-field"),
        ("stream/find?name=yard", {}, 500, "invalid-field"),
        ("stream/find_all", {"name": "yard"}, 500, "invalid-field"),
        ("rtsp/terminate", {"uri": "rtsp://192.0.2.1/none"}, 404, "not-found"),
        ("pull/pull", {"uri": "ws://192.0.2.1:8080", "localStreamName": "a"}, 500, "unsupported-scheme"),
        ("transcoder/find_all", None, 404, "not-found"),
    ]
    for path, body, status, code in expected:
        answer = await ask(wcs, path, body)
        told = answer.body
        assert (answer.status, told["status"], told["code"]) == (status, status, code), (path, body, told)
        assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert len(await found(wcs, "stream/find_all")) == 2


async def test_what_is_not_here_is_404_with_one_sentence(api: Api) -> None:
    absent = [path if "/" in path else f"{path}/find_all" for path in ABSENT]
    for path in (*absent, "push/startup", "no/such/call", "stream", f"jobs/{'0' * 32}"):
        for method in ("GET", "POST"):
            answer = await ask(api, path, method=method)
            assert (answer.status, answer.body["code"]) == (404, "not-found")
            assert answer.body["detail"].endswith("."), answer.body
    assert "pushed" in (await ask(api, "push/startup", {"streamName": "a", "rtmpUrl": "rtmp://x"})).body["detail"]
    # A link or a picture on a page of another site changes nothing.
    assert (await ask(api, "stream/terminate?name=yard", method="GET")).status == 404
    assert (await api.get("/rest-api/v3/no/such")).status == 404


async def test_nothing_stops_everything(wcs: Api) -> None:
    bodies: list[Any] = [None, {}, {"published": True}, {"published": "true"}, {"mediaType": "publish"}, {"name": None}]
    for body in bodies:
        for family in ("stream", "rtsp", "vod", "transcoder", "pull"):
            if family == "stream" or not body or "name" in body:
                refused = await ask(wcs, f"{family}/terminate", body)
                assert (refused.status, refused.body["code"]) == (500, "bad-request"), (family, body)
    assert (await ask(wcs, "stream/terminate", {"published": False})).status == 404  # there is no viewer
    assert len(await found(wcs, "stream/find_all")) == 2
    (test,) = await found(wcs, "vod/find", {"localStreamName": "test"})
    stopped = await ask(wcs, "stream/terminate", {"mediaSessionId": test["localMediaSessionId"]})
    assert (stopped.status, stopped.body) == (200, None)
    assert [each["name"] for each in await found(wcs, "stream/find_all")] == ["yard"]
    assert (await ask(wcs, "stream/terminate", {"status": "PUBLISHING"})).status == 200
    assert (await ask(wcs, "stream/find_all", method="GET")).status == 404


async def test_viewers_are_streams_that_are_played_and_are_stopped_one_by_one(wcs: Api) -> None:
    url, session = f"{wcs.gateway.url}/live/test", wcs.session
    async with session.ws_connect(f"{url}/mse") as mse, session.get(f"{url}.mp4") as film:
        assert (await session.get(f"{url}/media.m3u8")).status == 200
        played = await found(wcs, "stream/find", {"published": False})
        assert {each["mediaProvider"] for each in played} == {"MSE", "MP4", "HLS"}
        for each in played:
            assert set(each) == STREAM
            assert (each["name"], each["status"], each["mediaType"]) == ("test", "PLAYING", "play")
            assert each["sessionId"].startswith("/127.0.0.1")
        assert len(await found(wcs, "stream/find", {"name": "test"})) == 4
        assert await found(wcs, "stream/find", {"status": "PLAYING", "name": "yard"}) == []
        by_way = {each["mediaProvider"]: each for each in played}
        assert (await ask(wcs, "stream/terminate", {"mediaSessionId": by_way["MP4"]["mediaSessionId"]})).status == 200
        await film.content.read()  # to its end
        assert not mse.closed
        assert (await ask(wcs, "stream/terminate", {"name": "test", "published": "false"})).status == 200
        async for message in mse:
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)
        assert mse.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
        assert (await session.get(f"{url}/media.m3u8")).status == 403
        assert await found(wcs, "stream/find", {"mediaType": "play"}) == []
    assert {each["name"] for each in await found(wcs, "stream/find_all")} == {"yard", "test"}


async def test_metrics_are_those_of_the_newest_segment(wcs: Api) -> None:
    async with wcs.session.ws_connect(f"{wcs.gateway.url}/live/yard/mse"):
        for stream in wcs.gateway.catalog.streams():
            await until(lambda stream=stream: stream.bitrate() is not None)  # type: ignore[misc]
        body = {"display": ["metrics"], "name": None}
        shown = [(each["name"], each["mediaType"], each["metrics"]) for each in await found(wcs, "stream/find", body)]
    assert [(name, kind) for name, kind, _ in shown] == [("yard", "publish"), ("test", "publish"), ("yard", "play")]
    yard, test, viewer = (metrics for _, _, metrics in shown)
    for metrics in (yard, test, viewer):
        assert set(metrics) == METRICS
        assert metrics["VIDEO_LOST"] == metrics["VIDEO_NACK"] == 0
        assert 0 < metrics["VIDEO_RATE"] < 20_000
    assert (yard["VIDEO_B_FRAMES"], test["VIDEO_B_FRAMES"] > 0) == (0, True)  # the file has B-frames
    records = {each["name"]: each["video"] for each in (await wcs.get("/rest-api/v3/stream/find_all")).body}
    for name, metrics in (("yard", yard), ("test", test)):
        video = records[name]
        assert (metrics["VIDEO_WIDTH"], metrics["VIDEO_HEIGHT"]) == (video["width"], video["height"])
        assert metrics["VIDEO_FPS"] == pytest.approx(video["fps"], rel=0.05)
    assert "metrics" not in (await found(wcs, "stream/find", {"name": "yard", "display": []}))[0]


async def test_the_statistics_have_the_headings_and_keys_of_wcs(wcs: Api) -> None:
    async with wcs.session.ws_connect(f"{wcs.gateway.url}/live/yard/mse"):
        text = (await wcs.get("/?action=stat&preventCache=x")).body.decode()
        as_json = (await wcs.get("/?action=stat&format=json")).body
        some = (await wcs.get("/?action=stat&format=json&groups=core_stats,transcoding_stats")).body
    lines = text.splitlines()
    headings = [line.strip("-") for line in lines if line.startswith("-")]
    assert headings == ["Connection Stats", "Stream Stats", "System Stats", "Core Stats"]
    figures = dict(line.split("=") for line in lines if not line.startswith("-"))
    assert (figures["connections_websocket"], figures["streams_rtsp_in"], figures["streams_viewers"]) == ("1", "1", "1")
    assert int(figures["connections"]) >= 2
    assert int(figures["system_memory_total"]) >= int(figures["system_memory_free"]) > 0
    assert int(figures["core_threads"]) >= 1
    assert "system_java_cpu_usage" not in figures
    assert set(as_json) == {"connection_stats", "stream_stats", "system_stats", "core_stats", "transcoding_stats"}
    assert {name for group in as_json.values() for name in group} - set(figures) == {"transcoding_video_full_info"}
    assert set(some) == {"core_stats", "transcoding_stats"}
    assert some["transcoding_stats"]["transcoding_video_full_info"].keys() == {"yard", "test"}
    assert b"<!doctype html>" in (await wcs.get("/?action=other")).body.lower()


def test_each_status_has_a_word_in_each_object_by_which_it_is_found() -> None:
    assert set(THEIRS) == set(Status)
    assert set(LIVE_IN) == {call.object for call in CALLS} - {"watermark"}
    for status in Status:
        for family in LIVE_IN:
            word = word_of(status, family)
            # What rests for want of viewers has no word of its own there.
            assert OURS[StatusWord(word)] is status or (status, word) == (Status.IDLE, StatusWord.PENDING)


def test_the_guide_has_the_table_of_calls_that_the_routes_are_made_from() -> None:
    page = (ROOT / "docs/guide/wcs.md").read_text()
    calls = [
        f"| `{call.path}` | {call.likeness} | {', '.join(map(str, sorted({*call.errors, 500})))} | {call.note} |"
        for call in CALLS
    ]
    absent = [f"| `{path}` | {why} |" for path, why in ABSENT.items()]
    groups = [
        f"| `{name}` | {heading} | {', '.join(f'`{key}`' for key, _ in keys)} |" for name, heading, keys in GROUPS
    ]
    live = ", ".join(f"`{word}` in `{name}`" for name, word in LIVE_IN.items())
    words = [f"| `{status}` | {live if status is Status.LIVE else f'`{THEIRS[status]}`'} |" for status in Status]
    rows = [line for line in page.partition("## Settings")[0].splitlines() if line.startswith("| ")]
    headings = 4
    assert [row for row in rows if row in {*calls, *absent, *groups, *words}] == [*calls, *absent, *words, *groups]
    assert len(rows) == len(calls) + len(absent) + len(groups) + len(words) + headings
    assert set(re.findall(r"`(\w+)`", page)) >= STREAM | METRICS
    settings = re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", page.partition("## Settings")[2], re.MULTILINE)
    assert len(settings) >= 4
    assert {ours for _, ours in settings} <= set(Settings.model_fields)


async def test_the_examples_of_v3_that_wcs_publishes_run_and_streams_have_the_id_by_its_other_name(api: Api) -> None:
    body = {"uri": "vod-live://sample.mp4", "localStreamName": "test", "loop": True}
    started = await api.post("/vod/startup", body, prefer="respond-async, wait=3, timeout=10")
    assert started.status in (200, 202)
    assert started.headers["Preference-Applied"].endswith("wait=3, timeout=10")
    job = await api.ended(started.headers["Job-Id"])
    found = (await api.post("/jobs/find", {"id": job["id"]})).body
    assert (found["state"], found["result"]["localStreamName"], found["timeout"]) == ("DONE", "test", 10)
    encoder = {"uri": "transcoder://tcode1", "remoteStreamName": "test", "localStreamName": "testT", "encoder": ENCODER}
    made = await api.done("/transcoder/startup", encoder)
    assert (made.body["mediaSessionId"], made.body["status"]) == (made.body["id"], "LIVE")
    wcs: list[tuple[str, Any]] = [
        ("/stream/find", {"mediaSessionId": made.body["id"], "published": True, "display": ["metrics"]}),
        ("/transcoder/find", {"remoteStreamName": "test"}),
        ("/vod/find", {"localStreamName": "test"}),
        ("/vod/terminate", {"uri": "vod-live://sample.mp4", "localStreamName": "test"}),
        ("/stream/terminate", {"mediaSessionId": made.body["id"]}),
    ]
    for path, members in wcs:
        answer = await api.post(path, members)
        assert (answer.status, len(answer.body)) == (200, 1), (path, answer.body)
        assert answer.body[0]["mediaSessionId"] == answer.body[0]["id"]
