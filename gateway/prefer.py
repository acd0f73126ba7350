"""The Prefer header: how long a caller wants to wait, and how long its job may take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

Handling = Literal["strict", "lenient"]

_BLANK: Final = " \t"
_DIGITS: Final = frozenset("0123456789")
# RFC 9110 5.6.2: tchar. ASCII only, so that no other script's letters or digits slip in.
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class PreferLimits:
    """What the settings allow, in whole seconds; a default that is not given is the maximum.

    Raises ValueError when a number is out of range, or a default is over its maximum.
    """

    max_wait: int
    max_timeout: int
    default_wait: int | None = None
    default_timeout: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.usual_wait <= self.max_wait:
            raise ValueError(f"the default wait {self.usual_wait} must be between 0 and {self.max_wait} s")
        if not 1 <= self.usual_timeout <= self.max_timeout:
            raise ValueError(f"the default timeout {self.usual_timeout} must be between 1 and {self.max_timeout} s")

    @property
    def usual_wait(self) -> int:
        """The wait in force when the caller says nothing usable, in seconds."""
        return self.max_wait if self.default_wait is None else self.default_wait

    @property
    def usual_timeout(self) -> int:
        """The timeout in force when the caller says nothing usable, in seconds."""
        return self.max_timeout if self.default_timeout is None else self.default_timeout


_ANY: Final = PreferLimits(0, 1)  # where there is nothing to wait for


@dataclass(frozen=True, slots=True)
class Preferences:
    """What is in force for one request: wait and timeout in whole seconds, and whether the caller chose them.

    `ignored` and `clamped` name what was sent and not, or not wholly, honoured: the ones known here, and `other`.
    """

    wait: int
    timeout: int
    respond_async: bool
    handling: Handling | None
    wait_sent: bool
    timeout_sent: bool
    ignored: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()

    def applied(self, responding_202: bool) -> str:
        """The value of Preference-Applied (RFC 7240 section 3), or "" for no header.

        It names what the caller sent and what was used, with the value in force: a value over the limit is reported as
        the limit, an unusable one is absent, and that is the caller's signal.
        """
        parts = []
        if self.respond_async and responding_202:
            parts.append("respond-async")
        if self.wait_sent:
            parts.append(f"wait={self.wait}")
        if self.timeout_sent:
            parts.append(f"timeout={self.timeout}")
        if self.handling is not None:
            parts.append(f"handling={self.handling}")
        return ", ".join(parts)


def parse(lines: Sequence[str], limits: PreferLimits) -> Preferences:
    """Read all Prefer lines of one request, in order.

    Never raises: what cannot be honoured is ignored (RFC 7240 section 2). The time is linear in the length of the
    lines, whatever they hold.
    """
    return _parse(", ".join(lines), limits)


def strict(lines: Sequence[str]) -> bool:
    """Whether an unknown field is to be an error. A method without a job needs nothing else of Prefer."""
    return parse(lines, _ANY).handling == "strict"


@lru_cache(256)  # callers say the same few things again and again
def _parse(text: str, limits: PreferLimits) -> Preferences:
    first: dict[str, str | None] = {}
    handlings: set[str] = set()
    for element in _split(text):
        name, value = _read(element)
        # RFC 7240 section 2: only the first instance counts - even when its value is of no use.
        first.setdefault(name, value)
        if name == "handling" and value is not None:
            handlings.add(value.lower())
    wait = _seconds(first.get("wait"), 0, limits.max_wait)
    timeout = _seconds(first.get("timeout"), 1, limits.max_timeout)
    respond_async = first.get("respond-async") == ""
    handling = _handling(first.get("handling"), handlings)
    used = {"wait": wait is not None, "timeout": timeout is not None}
    used |= {"respond-async": respond_async, "handling": handling is not None}
    most = {"wait": limits.max_wait, "timeout": limits.max_timeout}
    return Preferences(
        wait=limits.usual_wait if wait is None else wait,
        timeout=limits.usual_timeout if timeout is None else timeout,
        respond_async=respond_async,
        handling=handling,
        wait_sent=wait is not None,
        timeout_sent=timeout is not None,
        ignored=tuple({name if name in used else "other": None for name in first if name and not used.get(name)}),
        clamped=tuple(name for name in most if used[name] and _over(first.get(name), most[name])),
    )


def _split(text: str) -> Iterator[str]:
    """The elements between top-level commas; a comma in a quoted string is no border."""
    start, quoted, escaped = 0, False, False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char == ",":
            yield text[start:at]
            start = at + 1
    yield text[start:]


def _read(element: str) -> tuple[str, str | None]:
    """One element as (name in lower case, value): "" is no value, None a malformed one. Parameters are ignored."""
    name, rest = _token(element.lstrip(_BLANK))
    rest = rest.lstrip(_BLANK)
    value: str | None = ""
    if rest.startswith("="):
        rest = rest[1:].lstrip(_BLANK)
        value, rest = _quoted(rest) if rest.startswith('"') else _token(rest)
        rest = rest.lstrip(_BLANK)
    return name.lower(), value if not rest or rest.startswith(";") else None


def _token(text: str) -> tuple[str, str]:
    end = 0
    while end < len(text) and text[end] in _TOKEN:
        end += 1
    return text[:end], text[end:]


def _quoted(text: str) -> tuple[str | None, str]:
    """The content of the quoted string that `text` begins with, and what follows; None when it does not end."""
    content: list[str] = []
    escaped = False
    for at in range(1, len(text)):
        char = text[at]
        if escaped or char not in '\\"':
            content.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            return "".join(content), text[at + 1 :]
    return None, ""


def _seconds(value: str | None, least: int, most: int) -> int | None:
    """Whole seconds, at most `most`; None when there is no usable value.

    `int()` alone will not do: it takes other scripts' digits, signs, blanks and underscores, and refuses over 4300
    digits.
    """
    if not value or not _DIGITS.issuperset(value):
        return None
    significant = value.lstrip("0")
    number = most if len(significant) > len(str(most)) else min(int(significant or "0"), most)
    return number if number >= least else None


def _over(value: str | None, most: int) -> bool:
    """Whether usable digits say more than `most`."""
    digits = (value or "").lstrip("0")
    return len(digits) > len(str(most)) or int(digits or "0") > most


def _handling(first: str | None, seen: set[str]) -> Handling | None:
    """RFC 7240 4.4: strict and lenient together say nothing. The literals are case-insensitive (RFC 5234)."""
    if seen >= {"strict", "lenient"}:
        return None
    match (first or "").lower():
        case "strict":
            return "strict"
        case "lenient":
            return "lenient"
    return None
