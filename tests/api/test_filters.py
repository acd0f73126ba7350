"""What selects streams, jobs and files: nothing of it is passed over, so that never more is stopped than was meant."""

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.web.calls.status_words import OURS, StatusWord
from media.faultcamera.server import Camera
from media.stream import Status
from tests.api.test_bad_input import check_problem
from tests.support.api import Answer, Api
from tests.support.conforming import described

ROOT = Path(__file__).parents[2]
BASE = "/rest-api/v3"
VERBS = ("find", "find_all", "terminate", "cancel")
FAMILIES = ("stream", "rtsp", "vod", "transcoder")
NAMES = ("a", "b", "yard")


def selecting() -> Iterator[tuple[str, str]]:
    """Method and path of everything that selects by what it is told, from the document: also what is new."""
    for path, methods in described()["paths"].items():
        if path.rpartition("/")[2] in VERBS:
            yield from ((method.upper(), path.removeprefix(BASE)) for method in methods)


SELECTING = sorted(selecting())


@pytest.fixture
async def watched(api: Api, camera: Camera) -> AsyncIterator[Api]:
    """Two channels and a camera."""
    for name in ("a", "b"):
        await api.done("/vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": name, "loop": True})
    await api.done("/rtsp/startup", {"uri": camera.url, "localStreamName": "yard"})
    yield api
    assert await names(api, "/stream/find", {}) == set(NAMES)  # nothing was stopped


async def names(api: Api, path: str, body: Any) -> set[str]:
    """Those that are found; none for a 404."""
    answer = await api.post(path, body)
    assert answer.status in (200, 404), answer.body
    return {each["name"] for each in answer.body} if answer.status == 200 else set()


async def ask(api: Api, method: str, path: str, members: Any, prefer: str = "") -> Answer:
    """Members in the body of a POST, or in the query string of a GET."""
    headers = {"Prefer": prefer} if prefer else {}
    place = {"params": members} if method == "GET" else {"json": members}
    async with api.session.request(method, f"{api.gateway.url}{BASE}{path}", headers=headers, **place) as response:
        return Answer(response.status, response.headers, await response.json())


def test_everything_that_selects_is_looked_at() -> None:
    assert {path.split("/")[1] for _, path in SELECTING} == {*FAMILIES, "jobs", "media"}
    assert len(SELECTING) == 4 * len(FAMILIES) + 6 + 2


async def test_a_member_that_is_not_known_is_named_and_nothing_is_done(watched: Api) -> None:
    for (method, path), prefer in itertools.product(SELECTING, ("", "handling=lenient", "handling=strict")):
        known = {"status": "LIVE"} if path.endswith("terminate") and not path.startswith("/jobs") else {}
        for more in ({"nmae": "a"}, {"nmae": "a", "shoeSize": "43"}):
            refused = await ask(watched, method, path, {**known, **more}, prefer)
            check_problem(refused, 422, "invalid-field")
            told = {each["field"]: each["detail"] for each in refused.body["errors"]}
            assert told.items() >= dict.fromkeys(more, "There is no such field.").items(), (method, path)


NOBODY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/stream/find", {"kind": "vod", "localStreamName": "z1"}),
    ("/stream/terminate", {"kind": "vod", "localStreamName": "z1"}),
    ("/rtsp/terminate", {"status": "LIVE", "name": "nothing-like-it"}),
    ("/rtsp/terminate", {"status": "LIVE", "toStream": "nothing-like-it"}),
    ("/vod/find", {"remoteStreamName": "a"}),
    ("/transcoder/find", {"remoteStreamName": "a"}),
    ("/transcoder/terminate", {"remoteStreamName": "a"}),
    ("/stream/terminate", {"status": "LIVE", "mediaSessionId": "41c3f621-a847-4639"}),
    ("/stream/terminate", {"localStreamName": "a", "toStream": "b"}),
    ("/stream/terminate", {"name": "a", "localStreamName": "b"}),
    ("/stream/terminate", {"name": "a", "published": False}),
    ("/stream/terminate", {"published": "false"}),
    ("/stream/terminate", {"name": ""}),
    ("/stream/terminate", {"uri": []}),
    ("/rtsp/terminate", {"name": "a"}),
)


async def test_a_filter_that_fits_nobody_stops_nobody(watched: Api) -> None:
    for path, body in NOBODY:
        check_problem(await watched.post(path, body), 404, "not-found")
    # The kind is said by the path: it would be a filter that fits all.
    check_problem(await watched.post("/vod/terminate", {"kind": "vod", "localStreamName": "z1"}), 422, "invalid-field")


async def test_a_listener_for_events_is_told_of_a_misspelt_parameter_when_it_asks_for_that(api: Api) -> None:
    refused = await ask(api, "GET", "/events", {"figres": "true"}, "handling=strict")
    check_problem(refused, 422, "invalid-field")
    assert refused.body["errors"] == [{"field": "figres", "detail": "There is no such field."}]


async def test_what_says_nothing_stops_nothing(watched: Api) -> None:
    nulls = dict.fromkeys(("id", "mediaSessionId", "name", "localStreamName", "uri", "status", "remoteStreamName"))
    wcs = {"mediaSessionId": None, "name": None, "published": True, "display": ["metrics"]}
    for path in (f"/{family}/terminate" for family in FAMILIES):
        bodies: tuple[dict[str, Any], ...] = ({}, nulls, wcs, {"published": "true"}, {"display": []})
        for body in bodies:
            check_problem(await watched.post(path, body), 400, "bad-request")
        check_problem(await watched.post(path, data=b""), 400, "bad-request")


async def test_a_value_of_another_type_is_no_filter(watched: Api) -> None:
    right: dict[str, Any] = {"published": True, "display": ["a", "b"]}
    values: list[Any] = [["a", "b"], 5, True, {"name": "a"}, {"$ne": None}]
    members = ("id", "name", "localStreamName", "status", "published", "display")
    for member, value in itertools.product(members, values):
        if right.get(member) == value:
            continue
        refused = await watched.post("/stream/terminate", {"kind": "vod", member: value})
        check_problem(refused, 422, "invalid-field")
        assert refused.body["errors"][0]["field"].split(".")[0] == member


async def test_a_member_that_is_there_twice_is_refused(watched: Api) -> None:
    for data in (b'{"status": "LIVE", "name": "z", "name": null}', b'{"name": "a", "name": "a"}'):
        refused = await watched.post("/stream/terminate", data=data)
        check_problem(refused, 422, "invalid-field")
        assert refused.body["errors"] == [{"field": "name", "detail": "It is there twice."}]
    for path in ("/stream/find_all?limit=1&limit=2", "/jobs/find?state=DONE&state=FAILED"):
        refused = await watched.get(BASE + path)
        check_problem(refused, 422, "invalid-field")
        assert refused.body["errors"][0]["detail"] == "It is there twice."


async def test_a_filter_in_the_wrong_place_is_refused(watched: Api) -> None:
    refused = await watched.post("/vod/terminate?localStreamName=z1", {"status": "LIVE"})
    check_problem(refused, 422, "invalid-field")
    assert refused.body["errors"][0]["field"] == "localStreamName"
    url = f"{watched.gateway.url}{BASE}"
    for path in ("/jobs/find", "/stream/find_all"):
        async with watched.session.get(url + path, json={"state": "DONE"}) as answer:
            assert (answer.status, (await answer.json())["errors"][0]["field"]) == (422, "state")
        async with watched.session.get(url + path, json={"state": None}) as answer:
            assert answer.status == 200
    for path in (f"/jobs/{'0' * 32}?state=FAILED", "/media/short.mp4?size=0"):
        async with watched.session.delete(url + path) as answer:
            assert answer.status == 422
    async with watched.session.put(f"{url}/media/short.mp4?overwrite=false", data=b"x") as answer:
        assert (answer.status, (await answer.json())["errors"][0]["field"]) == (422, "overwrite")


async def test_each_word_of_a_caller_of_wcs_narrows_down(watched: Api, camera: Camera) -> None:
    (a,) = (await watched.post("/stream/find", {"name": "a"})).body
    words: list[tuple[dict[str, Any], set[str]]] = [
        *(({word: a["id"]}, {"a"}) for word in ("id", "mediaSessionId")),
        *(({word: "a"}, {"a"}) for word in ("name", "localStreamName", "toStream")),
        ({"remoteStreamName": "a"}, set()),
        ({"uri": "vod-live://short.mp4"}, {"a", "b"}),
        ({"uri": camera.url}, {"yard"}),
        ({"status": "LIVE"}, set(NAMES)),
        ({"status": "FAILED"}, set()),
        ({"published": True}, set(NAMES)),
        ({"published": "false"}, set()),
        ({"display": ["metrics"]}, set(NAMES)),
    ]
    for word in (*OURS, "playing", "GONE", ""):
        refused = await watched.post("/vod/find", {"status": word})
        assert (refused.status == 422) == (word not in OURS), word
    own = {"stream": set(NAMES), "rtsp": {"yard"}, "vod": {"a", "b"}, "transcoder": set[str]()}
    for family, (body, found) in itertools.product(FAMILIES, words):
        assert await names(watched, f"/{family}/find", body) == found & own[family], (family, body)
    for (first, found), (second, others) in itertools.combinations(words, 2):
        if not first.keys() & second.keys():
            assert await names(watched, "/stream/find", {**first, **second}) == found & others, (first, second)
    for kind in ("vod", "rtsp", "transcoder"):
        assert await names(watched, "/stream/find", {"kind": kind}) == own[kind]
    null = {"mediaSessionId": None, "name": None, "published": True, "display": ["metrics"]}
    assert await names(watched, "/stream/find", null) == set(NAMES)


def test_every_status_and_every_word_for_one_means_something() -> None:
    assert set(OURS) == set(StatusWord)
    assert {OURS[StatusWord(status)] for status in Status} == set(Status)
    page = (ROOT / "docs/reference/api.md").read_text().partition("### Words of WCS")[2].partition("## Pages")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    told = {word: means.strip("`").partition("`")[0] for words, means in rows for word in re.findall(r"`(\w+)`", words)}
    assert {word: told[word].replace("the same", word) for word in told} == {
        word: OURS[word] for word in StatusWord if word not in ("LIVE", "WAITING", "IDLE")
    }


async def test_the_words_of_wcs_for_a_status_are_filters(watched: Api) -> None:
    await watched.done("/vod/pause", {"localStreamName": "b"})
    fits = {
        "LIVE": {"a", "yard"}, "PUBLISHING": {"a", "yard"}, "PROCESSED_LOCAL": {"a", "yard"},
        "PROCESSED_REMOTE": {"a", "yard"}, "PAUSED": {"b"}, "PENDING": set(), "NEW": set(), "UNPUBLISHED": set(),
    }  # fmt: skip
    for word, found in fits.items():
        assert await names(watched, "/stream/find", {"status": word}) == found
        assert await names(watched, "/vod/find", {"status": word}) == found - {"yard"}
    assert await names(watched, "/rtsp/find", {"status": "PLAYING"}) == {"yard"}
    assert await names(watched, "/vod/find", {"status": "PLAYING"}) == {"a"}
    # Where WCS has viewers' streams among all the others, who stops those does not mean the cameras.
    check_problem(await watched.post("/stream/terminate", {"status": "PLAYING"}), 404, "not-found")
    check_problem(await watched.post("/transcoder/terminate", {"status": "PROCESSED_LOCAL"}), 404, "not-found")


async def test_a_stopped_stream_is_found_by_either_word_for_its_id_in_its_family_alone(api: Api) -> None:
    started = await api.done("/vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": "c", "loop": True})
    stopped = await api.post("/vod/terminate", {"toStream": "c"})
    assert [each["status"] for each in stopped.body] == ["STOPPED"]
    for word in ("id", "mediaSessionId"):
        for family in ("stream", "vod"):
            assert await names(api, f"/{family}/find", {word: started.body["id"]}) == {"c"}
        assert await names(api, "/rtsp/find", {word: started.body["id"]}) == set()
        assert await names(api, "/vod/find", {word: started.body["id"], "name": "d"}) == set()


async def test_streams_are_listed_in_pages(watched: Api) -> None:
    for family, size in (("stream", 3), ("vod", 2), ("rtsp", 1), ("transcoder", 0)):
        whole = await watched.get(f"{BASE}/{family}/find_all")
        assert (len(whole.body), "Link" in whole.headers) == (size, False)
        for method in ("GET", "POST"):
            pages = [page async for page in paged(watched, method, f"/{family}/find_all", limit=1)]
            assert [len(page) for page in pages] == [1] * size or pages == [[]]
            assert [each["id"] for page in pages for each in page] == [each["id"] for each in whole.body]
    assert (await watched.get(f"{BASE}/stream/find_all?published=false")).body == []
    display = {"published": True, "display": ["metrics"], "mediaSessionId": None}
    assert len((await watched.post("/stream/find_all", display)).body) == 3


async def paged(api: Api, method: str, path: str, **members: Any) -> AsyncIterator[list[Any]]:
    """One page after the other, as the links lead."""
    answer = await ask(api, method, path, members)
    while True:
        assert answer.status == 200, answer.body
        yield answer.body
        if "Link" not in answer.headers:
            return
        target, _, relation = answer.headers["Link"].partition("; ")
        assert relation == 'rel="next"'
        assert target.startswith(f"<{BASE}{path}?")
        answer = await api.get(target.strip("<>"))


async def test_a_stream_that_ends_between_two_pages_hides_no_other(api: Api) -> None:
    for name in "abcd":
        await api.done("/vod/startup", {"uri": "vod-live://short.mp4", "localStreamName": name, "loop": True})
    pages = paged(api, "GET", "/vod/find_all", limit=2)
    assert [each["name"] for each in await anext(pages)] == ["a", "b"]
    await api.post("/vod/terminate", {"name": "b"})
    assert [each["name"] for each in await anext(pages)] == ["c", "d"]


async def test_files_and_jobs_are_listed_in_pages(api: Api) -> None:
    for _ in range(3):
        await api.done("/watermark/startup", {"watermark": "logo.png"})
    for path, key, size in (("/media/find_all", "name", 3), ("/jobs/find_all", "id", 3)):
        whole = [each[key] for each in (await api.get(BASE + path)).body]
        assert len(whole) == size
        for limit in (1, 2, 3):
            pages = [page async for page in paged(api, "GET", path, limit=limit)]
            assert [each[key] for page in pages for each in page] == whole
            assert max(len(page) for page in pages) == limit
    probed = [page async for page in paged(api, "POST", "/media/find_all", limit=2, probe=True)]
    assert all(each["probe"] for page in probed for each in page if each["uri"])


@pytest.mark.parametrize("path", ["/stream/find_all", "/vod/find_all", "/jobs/find_all", "/media/find_all"])
async def test_what_is_no_cursor_or_no_limit_is_refused(api: Api, path: str) -> None:
    await api.done("/watermark/startup", {"watermark": "logo.png"})
    others = ("WzEuNV0", "e30", "WzEsMl0", "bnVsbA", "WzEuNSwyXQ", "W10", "WyJhIiwtMSwiYiJd", "WyJhIiwxLDEuNV0")
    for cursor in (*others, "x", "!!", "%00", "ä", "W" * 7000, ""):
        refused = await ask(api, "POST", path, {"cursor": cursor})
        check_problem(refused, 422, "invalid-field")
        assert [each["field"] for each in refused.body["errors"]] == ["cursor"]
    for limit in ("0", "-1", "1001", "x", "1.5", "", "٣"):
        refused = await ask(api, "GET", path, {"limit": limit})
        check_problem(refused, 422, "invalid-field")
        assert [each["field"] for each in refused.body["errors"]] == ["limit"]


async def test_an_id_of_a_job_stands_alone(api: Api) -> None:
    job = (await api.done("/watermark/startup", {"watermark": "logo.png"})).headers["Job-Id"]
    for first in ({"id": job}, {"ids": [job]}):
        for more in ({"state": "FAILED"}, {"kind": "vod.startup"}, {"since": "2001-01-01T00:00:00Z"}, {"limit": 1}):
            refused = await api.post("/jobs/find", {**first, **more})
            check_problem(refused, 422, "invalid-field")
            assert [each["field"] for each in refused.body["errors"]] == list(more)
    check_problem(await api.post("/jobs/find", {"id": job, "ids": [job]}), 422, "invalid-field")
    check_problem(await api.post("/jobs/find_all", {"state": "FAILED"}), 422, "invalid-field")


async def test_a_change_that_takes_away_by_what_is_left_out_passes_over_nothing(watched: Api) -> None:
    for path, body in (
        ("/vod/set_watermark", {"localStreamName": "a", "watermrk": "logo.png"}),
        ("/transcoder/set_watermark", {"uri": "transcoder://t", "opactiy": 0.5}),
        ("/vod/set_watermark", {"localStreamName": "a", "watermark": {"file": "logo.png", "opactiy": 0.5}}),
        ("/stream/play_token", {"name": "a", "expireIn": 5}),
    ):
        refused = await watched.post(path, body)
        check_problem(refused, 422, "invalid-field")
        assert [each["detail"] for each in refused.body["errors"]] == ["There is no such field."]


async def test_two_words_for_one_field_have_to_agree(api: Api, camera: Camera) -> None:
    refused = await api.post("/rtsp/startup", {"uri": camera.url, "localStreamName": "a", "toStream": "b"})
    check_problem(refused, 422, "invalid-field")
    assert [each["field"] for each in refused.body["errors"]] == ["toStream"]
    started = await api.done("/rtsp/startup", {"uri": camera.url, "localStreamName": "a", "toStream": "a"})
    assert (started.body["name"], started.body["warnings"]) == ("a", [])
