"""Secrets in addresses: a text that does not print itself, and addresses that are fit for records and logs."""

import re
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "***"  # what stands for a secret where an address is shown
_SECRET_KEY: Final = re.compile(
    r"pass|pwd|token|secret|auth|credential|signature|(?:^|[_-]|api)key$|^pw$", re.IGNORECASE
)


class Secret:
    """A text that prints as `***`; `reveal()` is the one way to read it."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__


def shown_uri(uri: str) -> str:
    """The address fit for records and logs: no userinfo, and `***` for the value of a query key that names a secret.

    Cameras take `?user=admin&password=…` and `?token=…` as well as userinfo; what the keys are called is all there is
    to go by.
    """
    head, mark, query = uri.partition("?")
    scheme, colon, rest = head.partition("://")
    authority, slash, path = rest.partition("/")
    shown = f"{scheme}{colon}{authority.rpartition('@')[2]}{slash}{path}"
    return f"{shown}{mark}{'&'.join(map(_shown_pair, query.split('&')))}"


def _shown_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    return f"{name}={HIDDEN}" if equals and value and _SECRET_KEY.search(unquote(name)) else pair
