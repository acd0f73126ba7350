"""Request bodies: JSON objects into parameters, nonsense into one clear failure."""

import asyncio
import json
from functools import cache
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import AliasChoices, BaseModel, ValidationError

from gateway.jobs.failures import Failure

M = TypeVar("M", bound=BaseModel)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


PATIENCE: Final = 10.0  # seconds for a body, which is small
_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


async def read(request: web.Request) -> bytes:
    """The body, whole. Raises `Failure` `too-slow` when it does not come, and then the connection ends."""
    if request.content.is_eof():
        return await request.read()  # it has all come, as small ones do: no timer
    try:
        async with asyncio.timeout(PATIENCE):
            return await request.read()
    except TimeoutError:
        raise Failure("too-slow", f"The body did not come within {PATIENCE:g} s; send the request again.") from None


async def read_object(request: web.Request, *, optional: bool = False) -> dict[str, Any]:
    """The body as a JSON object, without its null members (null means absent). Raises `Failure` `bad-request`."""
    data = await read(request)
    if not data.strip() and optional:
        return {}
    try:
        value = _DECODER.decode(data.decode(json.detect_encoding(data)))
    except (ValueError, RecursionError):
        raise Failure("bad-request", "The body is not JSON.") from None
    if not isinstance(value, dict):
        raise Failure("bad-request", "The body is not a JSON object.")
    return {key: each for key, each in value.items() if each is not None}


def parse(model: type[M], body: dict[str, Any], *, strict: bool = False) -> tuple[M, tuple[str, ...]]:
    """The parameters, and the names of the fields that mean nothing. Raises `Failure` `invalid-field` with `errors[]`.

    `strict` (`Prefer: handling=strict`) makes a field that means nothing an error, too.
    """
    ignored = tuple(sorted(set(body) - _names(model)))
    errors = [{"field": name, "detail": "There is no such field."} for name in ignored] if strict else []
    try:
        params = model.model_validate_json(json.dumps(body))
    except ValidationError as error:
        errors += [_error(each) for each in error.errors(include_url=False, include_context=False, include_input=False)]
    if errors:
        names = ", ".join(dict.fromkeys(each["field"] for each in errors))
        raise Failure("invalid-field", f"Check these fields: {names}.", errors=errors)
    return params, ignored


@cache
def _names(model: type[BaseModel]) -> set[str]:
    names: set[str] = set()
    for name, field in model.model_fields.items():
        alias = field.validation_alias or field.alias or name
        if isinstance(alias, AliasChoices):
            names.update(str(choice) for choice in alias.choices)
        else:
            names.add(str(alias))
    return names


def _error(error: Any) -> dict[str, str]:
    field = ".".join(str(part) for part in error["loc"]) or "(body)"
    return {"field": field, "detail": str(error["msg"]).removeprefix("Value error, ")}
