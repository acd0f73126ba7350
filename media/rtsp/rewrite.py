"""What a camera says over RTSP, written anew for FFmpeg, so that FFmpeg reads what was checked and nothing else."""

import re
from typing import Final

END: Final = b"\r\n"

_STATUS: Final = re.compile(rb"RTSP/\d\.\d +(\d{3})(.*)")
_REQUEST: Final = re.compile(rb"([A-Z_]+) +(\S+) +RTSP/\d\.\d")
_HEADER: Final = re.compile(rb"([A-Za-z][A-Za-z0-9-]*)[ \t]*:[ \t]*(.*)")
_SESSION: Final = re.compile(rb"^(session: )([^\s;]*)[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LEFT_OUT: Final = (b"content-length", b"location")
_PROTOCOL: Final = re.compile(rb"[A-Za-z0-9/]{1,40}")
# The parameters of Transport (RFC 2326, 12.39) that FFmpeg needs, and what they may hold.
_PARAMETERS: Final = {
    b"client_port": re.compile(rb"\d{1,5}(-\d{1,5})?"),
    b"server_port": re.compile(rb"\d{1,5}(-\d{1,5})?"),
    b"interleaved": re.compile(rb"\d{1,3}(-\d{1,3})?"),
    b"ssrc": re.compile(rb"[0-9A-Fa-f]{1,8}"),
}


class SessionTerms:
    """What a camera has said of its session: the shortest timeout of all its answers is the one that holds.

    FFmpeg reads `;timeout=` only without blanks, and the last answer's counts for it. Some cameras say it once, in the
    answer to the first SETUP (RFC 2326, 12.37).
    """

    def __init__(self) -> None:
        self._timeout = 0  # seconds; 0: none was said

    def kept(self, message: bytes) -> bytes:
        """The message of `cleaned`, with its Session as FFmpeg reads it, and the timeout that holds."""
        head, end, body = message.partition(END + END)
        return _SESSION.sub(self._said, head, count=1) + end + body

    def _said(self, header: re.Match[bytes]) -> bytes:
        for parameter in header[3].split(b";"):
            name, _, value = parameter.partition(b"=")
            if name.strip().lower() == b"timeout" and re.fullmatch(rb"[1-9]\d{0,5}", value.strip()):
                self._timeout = min(self._timeout or int(value), int(value))
        return header[1] + header[2] + (b";timeout=%d" % self._timeout if self._timeout else b"")


def cleaned(head: bytes, body: bytes, address: str) -> bytes:
    """The message with that head (to the blank line) and body, or b"" for what is neither an answer nor a request.

    Each header is on a line of its own, without control characters, and the length is that of `body`. So no line of it
    means to FFmpeg what it did not mean here. `source` and `destination` of Transport give way to `address`, the one
    that was checked: FFmpeg sends RTP and RTCP to `source`, whatever it is, and has no option against it. `Location` is
    left out, which FFmpeg would follow. Every success is 200, the only one that FFmpeg takes for one.
    """
    first, *lines = (_CONTROL.sub(b"", line) for line in head.split(b"\n"))
    if status := _STATUS.fullmatch(first):
        success = status[1].startswith(b"2")
        made = [b"RTSP/1.0 " + (b"200 OK" if success else status[1] + status[2])]
    elif request := _REQUEST.fullmatch(first):
        made = [request[1] + b" " + request[2] + b" RTSP/1.0"]
    else:
        return b""
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None or header[1].lower() in _LEFT_OUT:
            continue
        value = transport(header[2], address) if header[1].lower() == b"transport" else header[2]
        made.append(header[1] + b": " + value)
    return END.join([*made, b"Content-Length: %d" % len(body), b"", body])


def transport(value: bytes, address: str) -> bytes:
    """The first way of a Transport header, as from `address`, with what is known of its parameters.

    The address stands in front: FFmpeg cuts off lines of over 4 kB. A multicast way stays one, which FFmpeg refuses as
    it has asked for unicast.
    """
    protocol, *parameters = (part.strip() for part in value.partition(b",")[0].split(b";"))
    named = {name.strip().lower(): text.strip() for name, _, text in (each.partition(b"=") for each in parameters)}
    way = protocol if _PROTOCOL.fullmatch(protocol) else b"unknown"
    kept = [way, b"multicast" if b"multicast" in named else b"unicast", b"source=" + address.encode()]
    for name, form in _PARAMETERS.items():
        if form.fullmatch(named.get(name, b"")):
            kept.append(name + b"=" + named[name])
    return b";".join(kept)
