"""Lists in pages: how many, from where on, and where the next page is."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from aiohttp import hdrs, web
from pydantic import Field

from gateway.jobs.failures import Failure
from gateway.kinds.kind import Exact
from gateway.web import body

T = TypeVar("T")

MOST: Final = 1000  # of a page
LONGEST: Final = 1024  # characters of a cursor

Position = tuple[Any, ...]


class PageParams(Exact):
    """`limit` is how many at the most. `cursor` is from the `Link` with `rel="next"` of the answer before: the list
    goes on behind it. Who was there all the time is in one of the pages, and in one only.
    """

    limit: Annotated[int, Field(ge=1, le=MOST)] | None = None
    cursor: Annotated[str, Field(max_length=LONGEST)] | None = None


def cut(
    every: Iterable[T], key: Callable[[T], Position], types: tuple[type, ...], asked: PageParams
) -> tuple[list[T], str | None]:
    """One page, in the order of `key`, and the cursor of the next one. `key` is another for each, does not change, and
    has members of these types. Raises `Failure` for a cursor that is none of this list.
    """
    ordered = sorted(every, key=key)
    if asked.cursor is not None:
        after = position(asked.cursor, types)
        ordered = [each for each in ordered if key(each) > after]
    page = ordered[: asked.limit]
    return page, cursor(key(page[-1])) if len(page) < len(ordered) else None


def cursor(place: Position) -> str:
    """A place in a list, as callers get it: opaque."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def position(text: str, types: tuple[type, ...]) -> Position:
    """The place that a cursor stands for, which has members of these types.

    Raises `Failure` `invalid-field` for a text that is no such cursor.
    """
    try:
        place = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise no_cursor() from None
    if not isinstance(place, list) or tuple(map(type, place)) != types:
        raise no_cursor()
    return tuple(place)


def no_cursor() -> Failure:
    """The failure for a cursor that is none of this list."""
    return body.wrong({"cursor": "It is no cursor of this list; take it from the Link of the answer before."})


def linked(request: web.Request, response: web.Response, next_cursor: str | None, **more: str | int | None) -> None:
    """Says where the next page is (RFC 8288), if there is one. `more` are the other parameters; None is left out."""
    if next_cursor is not None:
        said = {name: value for name, value in more.items() if value is not None}
        query = urlencode({**said, "cursor": next_cursor})
        response.headers[hdrs.LINK] = f'<{request.path}?{query}>; rel="next"'
