"""RTSP 1.0 messages: bytes to requests, answers to bytes (RFC 2326). Knows no socket."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

MAX_HEAD: Final = 16 * 1024  # bytes of a request line with its headers
MAX_BODY: Final = 64 * 1024

_OWN_REASONS: Final = {
    451: "Parameter Not Understood",
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    459: "Aggregate Operation Not Allowed",
    461: "Unsupported Transport",
    505: "RTSP Version Not Supported",
    551: "Option not supported",
}


class Malformed(ValueError):
    """The peer's bytes are no RTSP; answer with `status` and close."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Request:
    """One request; header names are in lower case. `cseq` is the header's text, empty when there was none."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def cseq(self) -> str:
        return self.headers.get("cseq", "")

    @property
    def session(self) -> str:
        """The session's id without parameters; empty when the request names none."""
        return self.headers.get("session", "").partition(";")[0].strip()


@dataclass(frozen=True)
class Interleaved:
    """Binary data on a channel of the RTSP connection (RFC 2326, 10.12)."""

    channel: int
    data: bytes


@dataclass(frozen=True)
class CameraResponse:
    """What is said to a request; `CSeq` and `Content-Length` are added when it is sent. A header may be repeated."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Inbox:
    """Cuts a client's bytes into requests and interleaved data. Holds at most one unfinished message."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Request | Interleaved]:
        """Yields each message that `data` completes. Raises `Malformed` on nonsense and on what is over a limit."""
        self._buffer += data
        while message := self._next():
            yield message

    def _next(self) -> Request | Interleaved | None:
        if self._buffer[:1] == b"$":
            return self._interleaved()
        while self._buffer[:2] == b"\r\n":  # empty lines between requests are allowed (RFC 2326, 4.1)
            del self._buffer[:2]
        return self._request()

    def _interleaved(self) -> Interleaved | None:
        end = 4 + int.from_bytes(self._buffer[2:4])
        if len(self._buffer) < 4 or len(self._buffer) < end:
            return None
        message = Interleaved(self._buffer[1], bytes(self._buffer[4:end]))
        del self._buffer[:end]
        return message

    def _request(self) -> Request | None:
        head_end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if head_end < 0:
            if len(self._buffer) >= MAX_HEAD:
                raise Malformed(413, f"a request's head is over {MAX_HEAD} bytes")
            return None
        method, url, headers = _parse_head(bytes(self._buffer[:head_end]))
        size = _content_length(headers)
        end = head_end + 4 + size
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[head_end + 4 : end])
        del self._buffer[:end]
        return Request(method, url, headers, body)


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("utf-8", "replace").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("RTSP/"):
        raise Malformed(400, "the first line is not METHOD URL RTSP/1.0")
    if words[2] != "RTSP/1.0":
        raise Malformed(505, f"version {words[2]!r} is not RTSP/1.0")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Malformed(400, "a header line is not NAME: VALUE")
        headers[name.lower()] = value.strip()
    return words[0], words[1], headers


def _content_length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Malformed(400, f"Content-Length {text!r} is no number")
    if len(text) > 9 or int(text) > MAX_BODY:
        raise Malformed(413, f"a body of {text} bytes is over the limit of {MAX_BODY}")
    return int(text)


def reason(status: int) -> str:
    """The phrase of a status, of RTSP where it has its own, otherwise of HTTP."""
    if status in _OWN_REASONS:
        return _OWN_REASONS[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def encode(answer: CameraResponse, cseq: str, uncounted: int = 0) -> bytes:
    """The bytes of an answer. `uncounted` bytes of its body are missing in Content-Length."""
    lines = [f"RTSP/1.0 {answer.status} {reason(answer.status)}"]
    if cseq:
        lines.append(f"CSeq: {cseq}")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if answer.body:
        lines.append(f"Content-Length: {len(answer.body) - uncounted}")
    return "\r\n".join([*lines, "", ""]).encode() + answer.body
