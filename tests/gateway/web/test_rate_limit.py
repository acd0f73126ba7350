"""Too eager callers are told when to come back, and nobody else notices."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.web import problems
from gateway.web.access import rate_limit
from gateway.web.access.rate_limit import MOST_CALLERS, Buckets


def test_a_bucket_holds_a_second_of_calls_and_refills() -> None:
    now = [100.0]
    buckets = Buckets(4.0, lambda: now[0])
    assert [buckets.take("a") for _ in range(5)] == [0.0, 0.0, 0.0, 0.0, 0.25]
    assert buckets.take("b") == 0.0
    now[0] += 0.25
    assert [buckets.take("a"), buckets.take("a")] == [0.0, 0.25]
    now[0] += 1000.0
    assert [buckets.take("a") for _ in range(5)] == [0.0, 0.0, 0.0, 0.0, 0.25]


def test_a_slow_rate_still_lets_one_through() -> None:
    now = [0.0]
    buckets = Buckets(0.1, lambda: now[0])
    assert [buckets.take("a"), buckets.take("a")] == [0.0, pytest.approx(10.0)]
    now[0] += 10.0
    assert buckets.take("a") == 0.0


def test_a_refused_call_does_not_push_the_next_one_further_away() -> None:
    now = [0.0]
    buckets = Buckets(1.0, lambda: now[0])
    buckets.take("a")
    for _ in range(100):
        assert buckets.take("a") == pytest.approx(1.0)


def test_as_many_callers_as_there_are_do_not_fill_the_memory() -> None:
    buckets = Buckets(1.0, lambda: 0.0)
    for number in range(MOST_CALLERS + 100):
        buckets.take(str(number))
    assert len(buckets._buckets) == MOST_CALLERS


@pytest.mark.looptime
async def test_the_answer_is_429_with_retry_after_and_health_is_not_counted() -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    limited = rate_limit.middleware(0.5, lambda request: request.remote or "")
    app = web.Application(middlewares=[problems.middleware, limited])
    app.add_routes([web.get("/rest-api/v3/hello", hello), web.get("/livez", hello)])
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/rest-api/v3/hello")).status == 200
        refused = await client.get("/rest-api/v3/hello")
        assert (refused.status, (await refused.json())["code"]) == (429, "rate-limited")
        assert refused.headers["Retry-After"] == "2"
        assert (await client.get("/livez")).status == 200
