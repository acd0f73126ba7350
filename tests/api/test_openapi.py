"""The OpenAPI document: valid, complete, and what the gateway does; its page works offline under a strict policy."""

import json
import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import validate

from gateway.jobs.failures import FAILURES
from gateway.kinds import KINDS
from gateway.web import dashboard_page
from gateway.web.calls.submit import KEY
from gateway.web.openapi.openapi_document import document
from tests.peers.chromium import chromium
from tests.support.api import Api
from tests.support.conforming import check, described

# Pages and watching are described in the guide.
PAGES = re.compile(r"^/(live/.*|assets/.*|docs.*|favicon\.ico)?$")


def test_the_document_is_a_valid_openapi_document() -> None:
    validate(described())
    assert described()["openapi"].startswith("3.1.")


async def test_the_document_that_is_served_is_this_one(api: Api) -> None:
    assert (await api.get("/openapi.json")).body == json.loads(json.dumps(document(KINDS)))


async def test_every_route_is_in_the_document_and_nothing_else(api: Api) -> None:
    routes = api.gateway.application.router.routes()
    served = {
        (route.method, route.resource.canonical)
        for route in routes
        if route.resource is not None
        and route.method != "HEAD"
        and not PAGES.match(route.resource.canonical)
        and route.resource.canonical not in dashboard_page.PAGES
    }
    served = {(method, path) for method, path in served if not path.startswith("/rest-api/") or "/v3/" in path}
    told = {(method.upper(), path) for path, each in described()["paths"].items() for method in each}
    assert told == served


async def test_the_head_of_the_events_is_as_the_document_says(api: Api) -> None:
    path = "/rest-api/v3/events"
    async with api.session.get(api.gateway.url + path) as answer:
        check("GET", path, answer.status, answer.headers, await answer.content.readline())
        assert answer.content_type == "text/event-stream"


def test_every_problem_code_is_in_the_answers_of_its_status_with_an_example() -> None:
    for code, row in FAILURES.items():
        content = described()["components"]["responses"][f"Problem{row.status}"]["content"]["application/problem+json"]
        assert code in content["schema"]["properties"]["code"]["enum"]
        assert content["examples"][code]["value"]["status"] == row.status


def test_a_202_leads_to_its_job() -> None:
    operations = [each for path in described()["paths"].values() for each in path.values()]
    ids = {each["operationId"] for each in operations}
    assert len(ids) == len(operations)
    accepted = [each["responses"]["202"] for each in operations if "202" in each["responses"]]
    assert len(accepted) > len(KINDS)
    for answer in accepted:
        assert set(answer["links"]) == {"job", "result", "cancel"}
        assert {link["operationId"] for link in answer["links"].values()} <= ids


def test_the_examples_are_bodies_that_the_methods_take() -> None:
    examples = [(kind, kind.example) for kind in KINDS if kind.example is not None]
    assert len(examples) >= 7
    for kind, example in examples:
        kind.params.model_validate_json(json.dumps(example))


def test_an_answer_that_is_not_in_the_document_is_noticed() -> None:
    job = {"Content-Type": "application/json"}
    with pytest.raises(AssertionError, match="not in the document"):
        check("GET", "/livez", 418, job, {})
    with pytest.raises(AssertionError, match="status"):
        check("GET", "/livez", 200, job, {"no": "status"})
    with pytest.raises(AssertionError, match="Job-Id"):
        check("POST", "/rest-api/v3/rtsp/startup", 202, job, {})
    check("GET", "/livez", 200, job, {"status": "ok"})


async def test_whatever_a_test_is_answered_by_a_gateway_is_held_against_the_document() -> None:
    async def told(request: web.Request) -> web.Response:
        return web.json_response({"status": 7}, status=int(request.query["status"]))

    app = web.Application()
    app.add_routes([web.get("/livez", told), web.get("/elsewhere", told)])
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/elsewhere?status=418")).status == 418
        with pytest.raises(AssertionError, match="not in the document"):
            await client.get("/livez?status=418")
        answer = await client.get("/livez?status=200")
        with pytest.raises(AssertionError, match="status"):
            await answer.json()


async def test_nothing_of_the_documentation_comes_from_elsewhere(api: Api) -> None:
    page = await api.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "'unsafe" not in policy
    assert "http" not in policy
    text = page.body.decode()
    for address in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert address.startswith("./")  # of the page: it may lie below a path
        assert (await api.get(address.removeprefix("."))).status == 200, address
    assert "<style" not in text
    assert not re.search(r"<script(?![^>]*src)", text)
    assert (await api.get("/docs/swagger-ui-bundle.js.map")).status == 404
    assert (await api.get("/docs/oauth2-redirect.html")).status == 404


@pytest.mark.debian
@pytest.mark.media
async def test_a_browser_shows_the_documentation_offline_without_a_complaint(api: Api) -> None:
    complaints: list[str] = []
    asked: list[str] = []
    async with chromium() as browser:
        page = await browser.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"{api.gateway.url}/docs", timeout=60_000)
        await page.get_by_text("rtsp.startup (job)").wait_for(timeout=60_000)
    assert not complaints
    assert all(url.startswith((api.gateway.url, "data:")) for url in asked), asked


def test_the_pattern_of_the_idempotency_key_is_that_of_the_code() -> None:
    post = described()["paths"]["/rest-api/v3/rtsp/startup"]["post"]
    pattern = next(each["schema"]["pattern"] for each in post["parameters"] if each["name"] == "Idempotency-Key")
    for text in ('"a"', '"8e03-…"', '""', "a", '"a b"', '"a\x00b"'):
        assert bool(re.fullmatch(pattern, text)) == bool((found := KEY.fullmatch(text)) and found[1]), text
