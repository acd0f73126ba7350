"""Reads what a find, a list or a terminate is asked with, and passes over nothing of it."""

from typing import Any, Final, TypeVar

from aiohttp import web

from gateway.kinds.kind import Exact
from gateway.web import body

E = TypeVar("E", bound=Exact)

# How the values of a query string are written, where they are no text.
NUMBERS: Final = frozenset({"limit"})
LISTS: Final = frozenset({"display", "ids"})  # with commas between

_NOT_HERE: Final = "This method takes nothing from the query string."


async def selection(request: web.Request, model: type[E]) -> E:
    """The parameters: from the query string of a GET, from the body of anything else.

    A parameter in the other place is an error, as an unknown one is: if it were ignored, more would be meant than was
    said. Raises `Failure`: `invalid-field` with `errors[]`, `bad-request`, `too-slow`.
    """
    needed = any(field.is_required() for field in model.model_fields.values())
    sent = await body.read_object(request, optional=not needed or request.method in ("GET", "HEAD"))
    if request.method not in ("GET", "HEAD"):
        refuse_query(request)
        return body.parse(model, sent)[0]
    if sent:
        raise body.wrong(dict.fromkeys(sent, "A GET takes nothing from its body: it belongs into the query string."))
    return body.parse(model, asked(request))[0]


def refuse_query(request: web.Request) -> None:
    """Refuses a query string, for a method that has no use for one. Raises `Failure` `invalid-field`."""
    if request.query:
        raise body.wrong(dict.fromkeys(request.query, _NOT_HERE))


def asked(request: web.Request) -> dict[str, Any]:
    """The query string as if it had been a body. Raises `Failure` for a name that is there twice."""
    twice = [name for name in dict.fromkeys(request.query) if len(request.query.getall(name)) > 1]
    if twice:
        raise body.wrong(dict.fromkeys(twice, "It is there twice."))
    return {name: _value(name, text) for name, text in request.query.items()}


def _value(name: str, text: str) -> Any:
    if name in NUMBERS and text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    return text.split(",") if name in LISTS else text
