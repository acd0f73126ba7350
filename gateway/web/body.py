"""Request bodies: which are read and when, JSON objects into parameters, nonsense into one clear failure."""

import asyncio
import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, TypeVar, get_args

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler
from pydantic import AliasChoices, BaseModel, ValidationError

from gateway import prefer
from gateway.jobs.failures import Failure
from gateway.web.problems import problem, reads_prefer

M = TypeVar("M", bound=BaseModel)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object.

    A member that is there twice is an error (RFC 7493, section 2.3). Most readers take the last one alone; then half of
    what was said would be lost, and a filter would mean more.
    """
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        raise wrong({name: "It is there twice." for name in found if names.count(name) > 1})
    return found


TOO_DEEP: Final = "The body is nested too deeply."
BODY_LIMIT: Final = 10.0  # seconds for a body, which is small
_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_once)


@web.middleware
async def plain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses an encoded body.

    No body here is so large that it would need it, and a kilobyte may be megabytes when it is decoded. The answer says
    what is accepted (RFC 9110, section 15.5.16).
    """
    codings = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, ())).lower().split(",")
    if all(coding.strip() in ("", "identity") for coding in codings):
        return await handler(request)
    detail = "A body is taken as it is: send it again without Content-Encoding."
    response = problem(request, Failure("unsupported-media-type", detail))
    response.headers[hdrs.ACCEPT_ENCODING] = "identity"
    return response


async def expected(request: web.Request) -> None:
    """Stands for aiohttp's own answer to `Expect`: a client is told to go on when its body is wanted, see `invite`."""


async def invite(request: web.Request) -> None:
    """Tells a client that has asked before it sends its body (RFC 9110, section 10.1.1) to send it."""
    if request.version == HttpVersion11 and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer has not begun


async def read(request: web.Request) -> bytes:
    """The body, whole. Raises `Failure` `too-slow` when it does not come, and then the connection ends."""
    if request.content.is_eof():
        return await request.read()  # the whole body is there, as small ones are: no timer is needed
    if (request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length or 0)
    try:
        async with asyncio.timeout(BODY_LIMIT):
            await invite(request)
            return await request.read()
    except TimeoutError:
        raise Failure("too-slow", f"The body did not come within {BODY_LIMIT:g} s; send the request again.") from None


async def read_object(request: web.Request, *, optional: bool = False) -> dict[str, Any]:
    """The body as a JSON object, without its null members (null means absent). Raises `Failure` `bad-request`."""
    data = await read(request)
    if not data.strip() and optional:
        return {}
    try:
        value = _DECODER.decode(data.decode(json.detect_encoding(data)))
    except ValueError:
        raise Failure("bad-request", "The body is not JSON.") from None
    except RecursionError:
        raise Failure("bad-request", TOO_DEEP) from None
    if not isinstance(value, dict):
        raise Failure("bad-request", "The body is not a JSON object.")
    return {key: each for key, each in value.items() if each is not None}


def parse(model: type[M], body: dict[str, Any], *, strict: bool = False) -> tuple[M, tuple[str, ...]]:
    """The parameters, and the names of the fields that mean nothing. Raises `Failure` `invalid-field` with `errors[]`.

    A field within a field is named with its path, as in `encoder.fps`. `strict` (`Prefer: handling=strict`) makes a
    field that means nothing an error, too; a model that is `Exact` always does.
    """
    known = _fields(model)
    strict = strict or model.model_config.get("extra") == "forbid"
    ignored = tuple(sorted(_unknown(model, body)))
    errors = [{"field": name, "detail": "There is no such field."} for name in ignored] if strict else []
    errors += _contradictions(model, body)
    try:
        params = model.model_validate_json(json.dumps({name: body[name] for name in body if name in known}))
    except RecursionError:  # it takes a little more to write it than to read it
        raise Failure("bad-request", TOO_DEEP) from None
    except ValidationError as error:
        errors += [_error(each) for each in error.errors(include_url=False, include_context=False, include_input=False)]
    if errors:
        raise _invalid(errors)
    return params, ignored


def wrong(details: dict[str, str]) -> Failure:
    """The failure for fields that are wrong: by their names, what is wrong with each."""
    return _invalid([{"field": name, "detail": detail} for name, detail in details.items()])


def _invalid(errors: list[dict[str, str]]) -> Failure:
    names = ", ".join(dict.fromkeys(each["field"] for each in errors))
    return Failure("invalid-field", f"Check these fields: {names}.", errors=errors)


def strict(request: web.Request) -> bool:
    """Whether the caller wants a field that means nothing to be an error (`Prefer: handling=strict`)."""
    reads_prefer(request)
    return prefer.strict(request.headers.getall("Prefer", []))


def fields(request: web.Request, model: type[M], body: dict[str, Any]) -> M:
    """The parameters of a method that is no job, whose answer has no place for warnings.

    Raises `Failure` `invalid-field` as `parse` does.
    """
    return parse(model, body, strict=strict(request))[0]


def _unknown(model: type[BaseModel], body: dict[str, Any], path: str = "") -> Iterator[str]:
    """The fields that the model does not have, and those within a field that its model does not; null means absent."""
    known = _fields(model)
    for name, value in body.items():
        if name not in known:
            if value is not None:
                yield path + name
        elif (inner := known[name]) is not None and isinstance(value, dict):
            yield from _unknown(inner, value, f"{path}{name}.")


def _contradictions(model: type[BaseModel], body: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The fields that are said twice, by an old name and a new one, and not alike."""
    for field in model.model_fields.values():
        alias = field.validation_alias
        said = [name for name in map(str, alias.choices) if name in body] if isinstance(alias, AliasChoices) else []
        for name in said[1:]:
            if body[name] != body[said[0]]:
                yield {"field": name, "detail": f"It is another name of {said[0]}, which says something else."}


@cache
def _fields(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Each name that a field has on the wire, and the model of what is in it, if it has one."""
    known: dict[str, type[BaseModel] | None] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias or field.alias or name
        names = alias.choices if isinstance(alias, AliasChoices) else [alias]
        known |= dict.fromkeys(map(str, names), _model_in(field.annotation))
    return known


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)


def _error(error: Any) -> dict[str, str]:
    field = ".".join(str(part) for part in error["loc"]) or "(body)"
    return {"field": field, "detail": str(error["msg"]).removeprefix("Value error, ")}
