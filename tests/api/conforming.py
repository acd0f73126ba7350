"""Whether an answer is what the OpenAPI document says: its status, its media type, its headers and its body."""

import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from gateway.kinds import KINDS
from gateway.web.openapi import document

# What the alias without the version answers is what the version answers.
ALIAS = re.compile(r"^/rest-api/(?!v3/)")


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
    path = ALIAS.sub("/rest-api/v3/", path.partition("?")[0])
    template = next((template for pattern, template in patterns() if pattern.fullmatch(path)), None)
    operation = described()["paths"].get(template, {}).get(method.lower())
    if operation is None:
        return
    answer = operation["responses"].get(str(status))
    assert answer is not None, f"{method} {template} answers {status}, which is not in the document"
    answer = resolved(answer)
    for name, header in answer.get("headers", {}).items():
        assert not header["required"] or name in headers, f"{method} {template} {status} has no {name}"
    check_body(answer, headers, body)


def check_body(answer: dict[str, Any], headers: Any, body: Any) -> None:
    """The media type and what is in it."""
    content = answer.get("content", {})
    if not content:
        assert not body, body
        return
    kind = headers["Content-Type"].partition(";")[0]
    assert kind in content or "*/*" in content, (kind, list(content))
    schema = content.get(kind, {}).get("schema")
    if schema is not None:
        errors = list(Draft202012Validator({**schema, "components": described()["components"]}).iter_errors(body))
        assert not errors, [(list(error.path), error.message) for error in errors]


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    if "$ref" not in value:
        return value
    found: Any = described()
    for name in value["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    assert isinstance(found, dict)
    return found
