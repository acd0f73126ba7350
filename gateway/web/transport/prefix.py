"""A gateway below a path prefix of a proxy: what an answer tells of the gateway's own addresses begins with it."""

import json
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from gateway.web.access.outer import outer

ADDRESSES: Final = frozenset({"playback", "links"})  # members of records, whose values are addresses
ASKED: Final = "request"  # what a caller has sent is told as it was
OWN: Final = (hdrs.LOCATION, hdrs.CONTENT_LOCATION)


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Moves the addresses in headers and in JSON below the prefix, where there is one."""
    prefix = outer(request).prefix
    if not prefix:
        return await handler(request)
    try:
        response = await handler(request)
    except web.HTTPException as answer:
        _move_headers(answer, prefix)
        raise
    if not response.prepared:
        _move_headers(response, prefix)
        _move_body(response, prefix)
    return response


def moved(value: Any, prefix: str) -> Any:
    """A record, or many of them, with the addresses in it below the prefix."""
    if isinstance(value, list):
        return [moved(each, prefix) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: each if name == ASKED else _member(name, each, prefix) for name, each in value.items()}


def _member(name: str, value: Any, prefix: str) -> Any:
    if name in ADDRESSES and isinstance(value, dict):
        return {way: _address(each, prefix) for way, each in value.items()}
    return _address(value, prefix) if name == "instance" else moved(value, prefix)


def _address(value: Any, prefix: str) -> Any:
    return prefix + value if isinstance(value, str) and value.startswith("/") else value


def _move_headers(response: web.StreamResponse, prefix: str) -> None:
    headers = response.headers
    for name in OWN:
        if name in headers:
            headers[name] = _address(headers[name], prefix)
    if hdrs.LINK in headers:
        headers[hdrs.LINK] = headers[hdrs.LINK].replace("</", f"<{prefix}/")


def _move_body(response: web.StreamResponse, prefix: str) -> None:
    if (
        isinstance(response, web.Response)
        and response.content_type.endswith("json")
        and isinstance(response.body, bytes)
    ):
        response.body = json.dumps(moved(json.loads(response.body), prefix)).encode()
