"""The OpenAPI 3.1 document, put together from the table of operations, the failure codes and the models."""

import inspect
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway import __version__
from gateway.jobs.failures import FAILURES
from gateway.kinds.kind import Kind
from gateway.web.access.outer import outer
from gateway.web.access.scopes import scope_of
from gateway.web.context import BASE
from gateway.web.openapi import answer_models
from gateway.web.openapi.operations import STATUSES, Many, Operation, operations

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
REF: Final = "#/components/schemas/{model}"

TITLES: Final = {
    200: "Done",
    201: "There is a new file",
    202: "Accepted; the job goes on",
    204: "Done; there is nothing to say",
    206: "The part that was asked for",
    304: "Nothing new",
    412: "It has changed",
    416: "There is no such part",
    503: "Not just now",
}
ANNOTATIONS: Final = ("default", "description", "examples", "title")  # keys of a schema that do not validate
# From an answer that holds a job to what can be done with it.
LINKS: Final = {
    name: {"operationId": operation, "parameters": {"id": "$response.body#/id"}}
    for name, operation in (("job", "getJob"), ("result", "getJobResult"), ("cancel", "deleteJob"))
}

PREFER: Final = (
    "`respond-async, wait=3, timeout=10` (RFC 7240): hold the answer for `wait` seconds at the most, cancel the job "
    "after `timeout` seconds. What is left out or cannot be used is the server's default, which is also the maximum; "
    "`handling=strict` makes unknown fields an error. It never causes an error by itself."
)
NEXT: Final = 'The next page, if there is one: `<address>; rel="next"` (RFC 8288).'
STRICT: Final = "`handling=strict` (RFC 7240) makes unknown fields an error; else they are ignored."
INTRODUCTION: Final = """\
Open cameras, loop files as live channels, check pictures; watch all of it in any browser.

Methods marked **job** answer `200` with the result when it is there within `Prefer: wait`, `202` with a job when it is
not, and the mapped error when it failed. `GET /jobs/{id}/result` gives later what the method would have answered.

Every error is a problem document (RFC 9457); its `code` is stable. The calls of WCS 5.2, below `/rest-api`
without a version, are not in this document.
"""


def document(kinds: Sequence[Kind]) -> dict[str, Any]:
    """The whole document, as JSON-ready values."""
    every = operations(kinds)
    paths: dict[str, Any] = {}
    for each in every:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Reelgate",
            "version": __version__,
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in every)],
        "paths": paths,
        "webhooks": {"job": _webhook(answer_models.JobEvent), "stream": _webhook(answer_models.StreamEvent)},
        "components": {
            "schemas": _schemas(every),
            "responses": {f"Problem{status}": _problems(status) for status in STATUSES},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key (`python -m gateway keys`)."},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Any user name, and an API key as password.",
                },
            },
        },
    }


def _operation(each: Operation) -> dict[str, Any]:
    scope = scope_of(each.method, each.path)
    statuses = set(each.statuses) | (set() if scope is None else {401, 403, 429})
    if each.method == "POST":
        statuses.add(408)
    if each.method in ("POST", "PUT"):
        statuses.add(415)
    answers = {str(status): _answer(each, status, result) for status, result in each.results.items()}
    answers |= {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)}
    made: dict[str, Any] = {"operationId": each.id, "summary": each.summary, "tags": [each.tag], "responses": answers}
    made["security"] = [] if scope is None else [{"bearer": [str(scope)]}, {"basic": [str(scope)]}]
    if each.body is not None and each.body.__doc__:
        made["description"] = inspect.cleandoc(each.body.__doc__)
    if parameters := list(_parameters(each)):
        made["parameters"] = parameters
    if each.body is not None:
        content: dict[str, Any] = {"schema": _ref(each.body)}
        if each.example is not None:
            content["example"] = each.example
        made["requestBody"] = {"content": {JSON: content}, "required": each.body_required}
    if each.body_bytes:
        made["requestBody"] = {"content": {"application/octet-stream": {}}, "required": True}
    return made


def _parameters(each: Operation) -> Iterator[dict[str, Any]]:
    if "{id}" in each.path:
        yield {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}
    if "{name}" in each.path:
        text = "A path below the media folder, percent-encoded."
        schema = {"type": "string", "minLength": 1, "maxLength": 512, "examples": ["intro.mp4"]}
        yield {"name": "name", "in": "path", "required": True, "description": text, "schema": schema}
    if each.query is not None:
        for name, schema in _lenient(_request_schema(each.query), null=False)["properties"].items():
            place: dict[str, Any] = {"name": name, "in": "query", "schema": _untitled(schema)}
            yield {**place, "style": "form", "explode": False} if schema.get("type") == "array" else place
    if each.prefer or each.strict:
        text = PREFER if each.prefer else STRICT
        yield {"name": "Prefer", "in": "header", "description": text, "schema": {"type": "string"}}
    if each.etag:
        yield {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}
    if each.resumes:
        text = "The `id` of the last event that was seen. Those after it come first; `reset` says that they are lost."
        yield {"name": "Last-Event-ID", "in": "header", "description": text, "schema": {"type": "string"}}
    if each.job:
        schema = {"type": "string", "pattern": '^"[ !#-\\[\\]-~]{1,255}"$'}
        text = "A quoted string; the same key and the same request attach to the same job."
        yield {"name": "Idempotency-Key", "in": "header", "description": text, "schema": schema}


def _answer(each: Operation, status: int, result: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": TITLES[status]}
    if isinstance(result, str):
        answer["content"] = {result: {}}
    elif isinstance(result, Many):
        array = {"type": "array", "items": _ref(result.model)}
        answer["content"] = {JSON: {"schema": {"anyOf": [_ref(result.model), array]} if result.or_one else array}}
    elif result is not None:
        answer["content"] = {JSON: {"schema": _ref(result)}}
    names = ["Job-Id", "Link"] if each.job else []
    if status == 202:
        names += ["Location", "Retry-After"]
        answer["links"] = LINKS
    if status == 201:
        names.append("Location")
    if names:
        answer["headers"] = {name: {"required": True, "schema": {"type": "string"}} for name in names}
    if each.paged:
        answer["headers"] = {"Link": {"required": False, "description": NEXT, "schema": {"type": "string"}}}
    return answer


def _webhook(model: type[BaseModel]) -> dict[str, Any]:
    """The webhook as an operation: what a receiver is sent. A redirect counts as not taken."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return {
        "post": {
            "operationId": model.__name__[0].lower() + model.__name__[1:],
            "summary": inspect.cleandoc(model.__doc__ or ""),
            "parameters": [
                {"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in names
            ],
            "requestBody": {"content": {JSON: {"schema": _ref(model)}}, "required": True},
            "responses": {"2XX": {"description": "Taken; with any other answer it comes again"}},
            "security": [],
        }
    }


def _problems(status: int) -> dict[str, Any]:
    """The answer with a failure's status: all codes that it may have, each with an example."""
    codes = [code for code, row in FAILURES.items() if row.status == status]
    examples = {code: {"summary": FAILURES[code].title, "value": _example(code)} for code in codes}
    schema = {**_ref(answer_models.Problem), "properties": {"status": {"const": status}, "code": {"enum": codes}}}
    answer: dict[str, Any] = {
        "description": "; ".join(f"`{code}`: {FAILURES[code].title}" for code in codes),
        "content": {PROBLEM: {"schema": schema, "examples": examples}},
    }
    needed = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}.get(status)
    if needed:
        answer["headers"] = {needed: {"required": True, "schema": {"type": "string"}}}
    return answer


def _example(code: str) -> dict[str, Any]:
    row = FAILURES[code]
    return {
        "type": f"urn:reelgate:problem:{code}",
        "title": row.title,
        "status": row.status,
        "code": code,
        "detail": f"{row.title}.",
        "retryable": row.retryable,
        "instance": f"{BASE}/rtsp/startup",
        "requestId": "c0ffee00c0ffee00c0ffee00c0ffee00",
    }


def _schemas(every: Sequence[Operation]) -> dict[str, Any]:
    asked = {model for each in every for model in (each.body, each.query) if model is not None}
    told = {result.model if isinstance(result, Many) else result for each in every for result in each.results.values()}
    models = [model for model in told if isinstance(model, type)]
    models += [answer_models.Problem, answer_models.JobEvent, answer_models.StreamEvent]
    by_name = sorted(models, key=lambda model: model.__name__)
    _, answers = models_json_schema([(model, "serialization") for model in by_name], ref_template=REF)
    found: dict[str, Any] = answers["$defs"]
    for model in sorted(asked, key=lambda model: model.__name__):
        schema = _request_schema(model)
        found |= schema.pop("$defs", {})
        found[model.__name__] = _lenient(schema, null=True)
    return {name: _untitled(found[name]) for name in sorted(found)}


def _request_schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(ref_template=REF)


def _lenient(schema: dict[str, Any], *, null: bool) -> dict[str, Any]:
    """A schema that takes more than the model's own types: null for absent, and "true" and "false" for booleans.

    With `null` false, for a query string, it takes none of that.
    """
    needed = schema.get("required", [])
    return {**schema, "properties": {name: _taken(each, name in needed, null) for name, each in _items(schema)}}


def _items(schema: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    properties: dict[str, Any] = schema.get("properties", {})
    return properties.items()


def _taken(schema: dict[str, Any], needed: bool, null: bool) -> dict[str, Any]:
    branches: list[Any] = schema.get("anyOf") or [{key: schema[key] for key in schema if key not in ANNOTATIONS}]
    branches = [each for each in branches if each != {"type": "null"}]
    if null and {"type": "boolean"} in branches:
        branches.append({"enum": ["true", "false"]})
    if null and not needed:
        branches.append({"type": "null"})
    kept = {key: schema[key] for key in schema if key in ANNOTATIONS and not (key == "default" and schema[key] is None)}
    return {**kept, **(branches[0] if len(branches) == 1 else {"anyOf": branches})}


def _untitled(value: Any) -> Any:
    """A schema without the titles that pydantic makes of names: they say nothing."""
    if isinstance(value, dict):
        return {key: _untitled(each) for key, each in value.items() if not (key == "title" and isinstance(each, str))}
    return [_untitled(each) for each in value] if isinstance(value, list) else value


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def routes(kinds: Sequence[Kind]) -> list[web.RouteDef]:
    """`/openapi.json`."""
    told = document(kinds)
    body = json.dumps(told, ensure_ascii=False).encode()

    async def openapi(request: web.Request) -> web.StreamResponse:
        prefix = outer(request).prefix
        content = json.dumps(told | {"servers": [{"url": prefix}]}).encode() if prefix else body
        return web.Response(body=content, content_type=JSON, headers={"Cache-Control": "no-cache"})

    return [web.get("/openapi.json", openapi)]
