"""One RTSP connection (RFC 2326): requests out, answers in, within limits."""

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from media.faults import Fault

MAX_HEADERS: Final = 16 * 1024
MAX_BODY: Final = 64 * 1024
MAX_SKIPPED: Final = 256 * 1024  # interleaved data and foreign requests before one answer
USER_AGENT: Final = "Reelgate"

_STATUS: Final = re.compile(r"RTSP/\d\.\d\s+(\d{3})(?:\s|$)", re.IGNORECASE)
_REQUEST: Final = re.compile(r"[A-Z_]+\s+\S+\s+RTSP/\d\.\d$")


@dataclass(frozen=True, slots=True)
class Response:
    """A response. Names of headers are in lower case; a header that came twice is there twice."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def value(self, name: str) -> str:
        return next(iter(self.values(name)), "")


class RtspConnection:
    """A TCP or TLS connection to one address. `abort()` closes it at once, whatever it is doing.

    All limits of time are the caller's: every await here may be cancelled. What breaks the protocol, or a limit of
    size, raises Fault `source-protocol-error`.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sequence = 0
        self.begun = False  # whether anything has come since the last request
        self._given_up: set[str] = set()  # the CSeq of requests whose answer was not waited for

    @classmethod
    async def open(
        cls, address: str, port: int, tls_name: str = "", context: ssl.SSLContext | None = None
    ) -> "RtspConnection":
        """Connect to a literal IP address; by TLS with a `context` and the name to ask for.

        Raises OSError (ssl.SSLError is one).
        """
        reader, writer = await asyncio.open_connection(
            address, port, ssl=context, server_hostname=tls_name if context else None, limit=MAX_HEADERS
        )
        return cls(reader, writer)

    @property
    def tls_version(self) -> str:
        """The version of TLS in OpenSSL's words, such as `TLSv1.3`; "" for a plain connection."""
        spoken = self._writer.get_extra_info("ssl_object")
        return (spoken.version() or "") if spoken else ""

    def abort(self) -> None:
        self._writer.transport.abort()

    async def request(self, method: str, uri: str, headers: Mapping[str, str]) -> Response:
        """Send one request, return its answer. Headers with no value are left out.

        May be cancelled while nothing has `begun`, and another request be made then. A late answer to the first is told
        by its CSeq and by its having no body (some cameras give each answer the same CSeq). It is skipped.
        """
        self._sequence += 1
        number = str(self._sequence)
        lines = [f"{method} {uri} RTSP/1.0", f"CSeq: {number}", f"User-Agent: {USER_AGENT}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value]
        self._given_up.add(number)
        self.begun = False
        try:
            self._writer.write("\r\n".join([*lines, "", ""]).encode(errors="surrogateescape"))
            await self._writer.drain()
            first = await self._reader.readexactly(1)
            self.begun = True
            answer = await read_answer(self._reader, first)
            while answer.value("cseq") in self._given_up - {number} and not answer.body:
                self._given_up.discard(answer.value("cseq"))
                answer = await read_answer(self._reader)
        except (asyncio.IncompleteReadError, OSError):
            detail = f"the camera closed the connection instead of answering {method}"
            raise Fault("source-protocol-error", detail) from None
        self._given_up.discard(number)
        return answer


async def read_answer(reader: asyncio.StreamReader, first: bytes = b"") -> Response:
    """The next final response; `first` is its first byte, where that was read.

    Skipped within `MAX_SKIPPED`: interleaved data (RFC 2326, 10.12), requests of the camera, 1xx responses and blank
    lines. One request is under way at a time, so `CSeq`, which some cameras get wrong, is not compared. Raises Fault
    `source-protocol-error`, and asyncio.IncompleteReadError at the end of the stream.
    """
    skipped = 0
    while skipped <= MAX_SKIPPED:
        first = first or await reader.readexactly(1)
        if first == b"$":
            skipped += await _skip_interleaved(reader)
        elif first in b"\r\n":
            skipped += 1
        elif first.isalpha():
            line = _text(first + await _read_line(reader, MAX_HEADERS - 1))
            status = _STATUS.match(line)
            if not status and not _REQUEST.match(line):
                raise _not_rtsp(line)
            headers = await _read_headers(reader, MAX_HEADERS - len(line))
            body = await _read_body(reader, headers)
            if status and int(status[1]) >= 200:
                return Response(int(status[1]), headers, body)
            skipped += len(line) + sum(len(name) + len(value) for name, value in headers) + len(body)
        else:
            raise _not_rtsp("")
        first = b""
    raise Fault("source-protocol-error", f"the camera sent over {MAX_SKIPPED} bytes of other data before its answer")


async def _skip_interleaved(reader: asyncio.StreamReader) -> int:
    size = int.from_bytes((await reader.readexactly(3))[1:], "big")
    await reader.readexactly(size)
    return size + 4


async def _read_line(reader: asyncio.StreamReader, left: int) -> bytes:
    """A line with its LF (some cameras send no CR)."""
    too_long = Fault("source-protocol-error", f"the camera's header block is larger than {MAX_HEADERS} bytes")
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError:
        raise too_long from None
    if len(line) > left:
        raise too_long
    return line


async def _read_headers(reader: asyncio.StreamReader, left: int) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    while True:
        raw = await _read_line(reader, left)
        left -= len(raw)
        line = _text(raw)
        if not line.strip():
            return tuple(headers)
        name, colon, value = line.partition(":")
        if line[0] in " \t" and headers:  # a folded header (RFC 2326, 4.2)
            headers[-1] = (headers[-1][0], f"{headers[-1][1]} {line.strip()}".strip())
        elif colon:
            headers.append((name.strip().lower(), value.strip()))


async def _read_body(reader: asyncio.StreamReader, headers: tuple[tuple[str, str], ...]) -> bytes:
    text = next((value for name, value in headers if name == "content-length"), "0")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Fault("source-protocol-error", "the camera's Content-Length is not a number")
    if int(text) > MAX_BODY:
        raise Fault(
            "source-protocol-error", f"the camera announces a body of {text} bytes, over the limit of {MAX_BODY}"
        )
    return await reader.readexactly(int(text))


def _text(line: bytes) -> str:
    """A line as text without its end, any byte of it restorable: a realm goes back as it came.

    A stray CR or NUL could travel with it into a header that we send, so neither stays.
    """
    return line.rstrip(b"\r\n").replace(b"\r", b" ").replace(b"\0", b" ").decode(errors="surrogateescape")


def _not_rtsp(line: str) -> Fault:
    spoken = next((name for name in ("HTTP", "SSH") if line.upper().startswith(name)), "")
    what = f"{spoken}, not RTSP" if spoken else "something that is not RTSP"
    return Fault("source-protocol-error", f"the peer speaks {what}; check the port of the address")
