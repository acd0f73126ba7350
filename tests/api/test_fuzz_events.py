"""Fuzzing of `/events`, which has no end: however it is asked, its head and its first events are as they should be."""

import asyncio
import http.client
import json
from typing import Any, Final
from urllib.parse import quote

import hypothesis
import pytest
from hypothesis import strategies as st

from gateway.settings import Settings
from tests.support.conforming import check
from tests.support.fuzzing import SEED, patient, target

__all__ = ["patient"]

CASES: Final = 400
PATH: Final = "/rest-api/v3/events"
HELLO: Final = ["retry: 2000"]
LONG: Final = 60  # seconds in which a slow machine answers

# What may stand in a header or behind a percent sign; what no header may hold is refused before it gets this far.
TEXT: Final = st.text(st.characters(codec="latin-1", categories=("L", "M", "N", "P", "S", "Zs")), max_size=40).filter(
    lambda text: not text.strip().isdecimal()
)
# Numbers that no event has had yet: after the newest one nothing comes, and nobody should wait for that.
NUMBERS: Final = st.one_of(st.integers(max_value=-1), st.integers(min_value=10**9)).map(str)
LAST: Final = st.one_of(st.none(), st.just("0"), NUMBERS, TEXT, st.sampled_from(["1e3", "٣", "1.5", "0x10", "²", "00"]))
FLAGS: Final = st.one_of(st.sampled_from(["true", "false", "1", "", "True", "null"]), TEXT)
QUERIES: Final = st.lists(
    st.one_of(
        FLAGS.map(lambda value: f"figures={quote(value)}"),
        LAST.map(lambda value: f"lastEventId={quote(value or '')}"),
        TEXT.map(lambda value: f"{quote(value)}={quote(value)}"),
        st.sampled_from(
            ["figures", "=", "%", "%zz", "%00", "%ff%fe=%0d%0a", "figures=true=true", ";;", "token=x", "a[]=1"]
        ),
    ),
    max_size=3,
).map("&".join)
METHODS: Final = st.sampled_from(["GET"] * 12 + ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
ACCEPTS: Final = st.sampled_from([None, "text/event-stream", "application/json", "*/*;q=0", "text/html, x", ",;="])
KEYS: Final = st.sampled_from(["right"] * 8 + ["wrong", "none"])
ASKED: Final = st.fixed_dictionaries(
    {"method": METHODS, "last": LAST, "query": QUERIES, "accept": ACCEPTS, "key": KEYS},
)


def block(answer: http.client.HTTPResponse) -> list[str]:
    """The lines of one event, or of a comment."""
    lines = []
    while line := answer.readline().decode().rstrip("\n"):
        lines.append(line)
    return lines


def check_event(lines: list[str]) -> None:
    """An event as WHATWG HTML 9.2 has it, with a record; or what says that some were lost."""
    fields = dict(line.split(": ", 1) for line in lines)
    record: Any = json.loads(fields["data"])
    if fields["event"] == "reset":
        assert (record, set(fields)) == ({}, {"event", "data"})
    elif fields["event"] == "figures":
        assert set(fields) == {"event", "data"}
    else:
        assert fields["event"] in ("job", "stream")
        assert int(fields["id"]) >= record.get("revision", 0)
        assert record["id"]


def judge(address: str, key: str, case: dict[str, Any]) -> int:
    """Sends one case, and looks at what comes back; gives its status."""
    headers = {"Accept": case["accept"]} if case["accept"] else {}
    if case["key"] != "none":
        headers["Authorization"] = f"Bearer {key if case['key'] == 'right' else key[:-1]}"
    if case["last"] is not None:
        headers["Last-Event-ID"] = case["last"].encode()
    connection = http.client.HTTPConnection(address, timeout=LONG)
    try:
        connection.request(case["method"], f"{PATH}?{case['query']}", headers=headers)
        answer = connection.getresponse()
        if case["key"] == "right" and case["method"] != "GET":
            assert answer.status == 405
        if answer.status == 200:
            assert (case["method"], case["key"]) == ("GET", "right")
            check("GET", PATH, 200, answer.headers, b"")
            assert block(answer) == HELLO
            if (case["last"] or "").strip():
                check_event(block(answer))
        elif case["method"] != "HEAD":
            problem = json.loads(answer.read())
            assert problem["status"] == answer.status
            check(case["method"], PATH, answer.status, answer.headers, problem)
        return answer.status
    finally:
        connection.close()


def every_case(address: str, key: str) -> list[int]:
    """Judges all of them, which are the same each time; gives their statuses."""
    statuses = []

    @hypothesis.seed(SEED)
    @hypothesis.settings(max_examples=CASES, database=None, deadline=None, phases=[hypothesis.Phase.generate])
    @hypothesis.given(ASKED)
    def each(case: dict[str, Any]) -> None:
        statuses.append(judge(address, key, case))

    each()
    return statuses


@pytest.mark.media
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("patient")
async def test_hundreds_of_ways_to_ask_for_the_events_are_answered_as_the_document_says(settings: Settings) -> None:
    async with target(settings) as (gateway, key):
        statuses = await asyncio.to_thread(every_case, gateway.url.removeprefix("http://"), key)
    assert len(statuses) >= CASES
    assert set(statuses) >= {200, 401, 405, 422}
