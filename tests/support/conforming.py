"""Whether an answer is what the OpenAPI document says: its status, its media type, its headers and its body."""

import json
import re
from functools import cache
from typing import Any

from aiohttp import ClientResponse
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from gateway.kinds import KINDS
from gateway.web.openapi.openapi_document import document

# The kinds of tests/support/fakes.py answer as one whose result may be anything.
FAKES = re.compile(r"^/rest-api/v3/(fake|other)/startup$")


@cache
def described() -> dict[str, Any]:
    """The document."""
    return document(KINDS)


@cache
def patterns() -> list[tuple[re.Pattern[str], str]]:
    """What paths look like; the ones without parameters first."""
    paths = sorted(described()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\\{\w+\\\}", one_or_more(path), re.escape(path))), path) for path in paths]


def one_or_more(path: str) -> str:
    """A file's name may have slashes in it."""
    return ".+" if "/media/" in path else "[^/]+"


def check(method: str, path: str, status: int, headers: Any, body: Any) -> None:
    """Fails unless the document has this answer. What it does not describe (pages, watching) is not judged."""
    answer = check_head(method, path, status, headers)
    if answer is not None:
        check_body(answer, headers, body)


def check_head(method: str, path: str, status: int, headers: Any) -> str | None:
    """As `check`, before there is a body. Gives where in the document this answer is."""
    path = path.partition("?")[0]
    path = FAKES.sub("/rest-api/v3/stream/snapshot", path)
    template = next((template for pattern, template in patterns() if pattern.fullmatch(path)), None)
    operation = described()["paths"].get(template, {}).get(method.lower())
    if operation is None:
        return None
    assert str(status) in operation["responses"], f"{method} {template} answers {status}, which is not in the document"
    place = "/".join(("paths", str(template).replace("/", "~1"), method.lower(), "responses", str(status)))
    for name, header in found(place).get("headers", {}).items():
        assert not header["required"] or name in headers, f"{method} {template} {status} has no {name}"
    return place


def check_body(place: str, headers: Any, body: Any) -> None:
    """The media type and what is in it."""
    content = found(place).get("content", {})
    if not content:
        assert not body, body
        return
    kind = headers["Content-Type"].partition(";")[0]
    assert kind in content or "*/*" in content, (kind, list(content))
    if "schema" in content.get(kind, {}):
        errors = list(validator(place, kind).iter_errors(body))
        assert not errors, [(list(error.path), error.message) for error in errors]


@cache
def validator(place: str, kind: str) -> Draft202012Validator:
    """Of the bodies of an answer."""
    schema = found(place)["content"][kind]["schema"]
    return Draft202012Validator({**schema, "components": described()["components"]})


@cache
def found(place: str) -> dict[str, Any]:
    """What is at a place of the document, or what that refers to."""
    value: Any = described()
    for name in place.split("/"):
        value = value[name.replace("~1", "/")]
    assert isinstance(value, dict)
    return found(value["$ref"].removeprefix("#/")) if "$ref" in value else value


def judge_every_answer() -> None:
    """From now on all that aiohttp's client is answered is checked: the head of each, and each body that is read whole.

    Servers that are not the gateway are not to have its paths.
    """
    start, read = ClientResponse.start, ClientResponse.read

    async def started(self: ClientResponse, connection: Any) -> ClientResponse:
        await start(self, connection)
        check_head(self.method, self.url.raw_path, self.status, self.headers)
        return self

    async def read_whole(self: ClientResponse) -> bytes:
        again = self._body is not None
        content = await read(self)
        if not again and self.method != "HEAD":
            place = check_head(self.method, self.url.raw_path, self.status, self.headers)
            if place is not None:
                check_body(place, self.headers, json.loads(content) if "json" in self.content_type else content)
        return content

    ClientResponse.start = started  # type: ignore[method-assign]
    ClientResponse.read = read_whole  # type: ignore[method-assign]
