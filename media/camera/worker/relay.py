"""Stands between FFmpeg and a camera with which it cannot be left alone: a relay on loopback for one connection."""

import re
import secrets
import select
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from media.camera.spec import CameraSpec
from media.faults import Fault
from media.net import tls
from media.rtsp.auth import Authenticator
from media.rtsp.rewrite import SessionTerms, cleaned
from media.rtsp.sdp import without_ignored_sound
from media.rtsp.target import RtspTarget

READ_SIZE: Final = 65536
MAX_HEAD: Final = 16 * 1024  # bytes of a message's head
MAX_BODY: Final = 64 * 1024
MAX_TRIES: Final = 3  # of one request: without credentials, with them, and once more after a stale nonce
REDIRECTS: Final = (301, 302, 303, 307, 308)
OFFERED: Final = b"DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"  # by a camera that does not say; keeps the session
FRAME: Final = ord("$")  # interleaved media (RFC 2326, 10.12): a channel, and a length in two bytes, follow

_REQUEST: Final = re.compile(rb"([A-Z_]+) (\S+) (RTSP/1\.0\r\n)")
_STATUS: Final = re.compile(rb"RTSP/\d\.\d +(\d{3})")
_LENGTH: Final = re.compile(rb"^content-length[ \t]*:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CHALLENGE: Final = re.compile(rb"^www-authenticate[ \t]*:[ \t]*(.*?)\r?$", re.IGNORECASE | re.MULTILINE)
_CSEQ: Final = re.compile(rb"^cseq[ \t]*:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_SENSE: Final = re.compile(rb"[$A-Z]")


class _Over(Exception):
    """Ends the relay: nothing more is to be relayed."""


@dataclass(slots=True)
class _Asked:
    """The request whose answer is awaited: its address and what follows it, as bytes; and how often it was sent."""

    method: bytes
    uri: bytes
    rest: bytes
    tries: int = 0


class Relay:
    """Serves whoever comes first with `url`, which nobody else is told; all other connections are closed.

    The one connection to the camera goes to its checked address. Requests are sent on under the camera's own address
    and with the answer to its challenge. Media passes as it is. What the camera says is written anew (`cleaned`), since
    it must not choose where FFmpeg sends. FFmpeg does not see a challenge that can be answered. A redirect ends the
    relay (`redirected`). Raises `OSError` when the camera cannot be connected to.
    """

    def __init__(self, camera: CameraSpec) -> None:
        self.redirected = False
        self._base = camera.uri.encode()
        self._address = camera.address
        self._auth = Authenticator(camera.username, camera.password)
        self._asked: _Asked | None = None
        self._camera = _connected(camera)
        self._answers_options = not camera.options
        self._session = SessionTerms()
        self._known = False  # whoever is connected has shown that it knows the secret
        # FFmpeg opens its UDP ports for the family of the address that it believes the camera to have.
        family, here = (socket.AF_INET6, "[::1]") if ":" in camera.address else (socket.AF_INET, "127.0.0.1")
        self._door = socket.create_server((here.strip("[]"), 0), family=family, backlog=1)
        self._door.settimeout(camera.connect_timeout)
        self.url = f"rtsp://{here}:{self._door.getsockname()[1]}/{secrets.token_urlsafe(16)}"
        self._viewer: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def hang_up(self) -> None:
        """Lets FFmpeg read the end of the stream; what it still asks is passed on."""
        if self._viewer is not None:
            with suppress(OSError):
                self._viewer.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Ends the relay in both directions: whoever waits, here or in FFmpeg, goes on, and nothing is passed on any
        more.
        """
        for each in (self._viewer, self._camera, self._door):
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self, seconds: float) -> None:
        """Call it after FFmpeg has hung up. Waits until the camera has answered what it was asked last, at most so
        long.
        """
        self._thread.join(seconds)
        self.cut()
        self._thread.join()

    def _run(self) -> None:
        """Runs in the relay's thread, until its end."""
        try:
            self._viewer, _ = self._door.accept()
            self._door.close()
            self._relay(self._viewer)
        except (OSError, _Over):
            pass
        finally:
            for each in (self._viewer, self._camera, self._door):
                if each is not None:
                    each.close()

    def _relay(self, viewer: socket.socket) -> None:
        asked, answered = bytearray(), bytearray()
        viewers = [viewer]
        while viewers or self._asked:
            readable, _, _ = select.select([*viewers, self._camera], [], [])
            if viewer in readable:  # first: who has hung up may have said TEARDOWN before
                data = _read(viewer)
                if data is None:
                    viewers = []
                asked += data or b""
                self._take_requests(asked)
            if self._camera in readable:
                data = _read(self._camera)
                if data is None:
                    return
                answered += data
                self._take_answers(answered, viewer)

    def _take_requests(self, buffer: bytearray) -> None:
        """Passes on what FFmpeg sends: RTCP as it is, requests under the camera's address and with its login."""
        while end := _message_end(buffer):
            message = bytes(buffer[:end])
            del buffer[:end]
            if message[0] == FRAME:
                self._camera.sendall(message)
                continue
            request = _REQUEST.match(message)
            if request is None:
                raise _Over
            place = self.url.encode()
            self._known = self._known or request[2].startswith(place)
            if not self._known:
                raise _Over
            uri = self._base + request[2].removeprefix(place) if request[2].startswith(place) else request[2]
            if request[1] == b"PLAY":
                self._answers_options = False  # from here on it keeps the session
            if request[1] == b"OPTIONS" and self._answers_options:
                self._say_options(message)
                continue
            self._asked = _Asked(request[1], uri, message[request.start(3) :])
            self._ask(self._asked)

    def _say_options(self, request: bytes) -> None:
        """Answers FFmpeg in place of a camera that does not answer OPTIONS."""
        number = _CSEQ.search(request)
        if self._viewer is not None and number is not None:
            self._viewer.sendall(b"RTSP/1.0 200 OK\r\nCSeq: %s\r\nPublic: %s\r\n\r\n" % (number[1], OFFERED))

    def _ask(self, asked: _Asked) -> None:
        asked.tries += 1
        login = self._auth.authorization(asked.method.decode(), asked.uri.decode("latin-1"))
        line, _, headers = asked.rest.partition(b"\r\n")
        extra = f"Authorization: {login}\r\n".encode(errors="surrogateescape") if login else b""
        self._camera.sendall(asked.method + b" " + asked.uri + b" " + line + b"\r\n" + extra + headers)

    def _take_answers(self, buffer: bytearray, viewer: socket.socket) -> None:
        """Passes on what the camera sends: media in one go, answers one by one."""
        at = 0
        passed = bytearray()
        while end := _message_end(buffer, at):
            passed += buffer[at:end] if buffer[at] == FRAME else self._answer(bytes(buffer[at:end]))
            at = end
        del buffer[:at]
        with suppress(ConnectionError):  # it has hung up; what it said before is still to be read
            viewer.sendall(passed)

    def _answer(self, message: bytes) -> bytes:
        """The bytes of an answer that FFmpeg gets."""
        head = _end_of_head(message)
        body = message[head:]
        if self._asked is not None and self._asked.method == b"DESCRIBE":
            body = without_ignored_sound(body)
        made = self._session.kept(cleaned(message[:head], body, self._address))
        return b"" if self._handled(made) else made

    def _handled(self, message: bytes) -> bool:
        """Whether this answer was dealt with here, and is not for FFmpeg."""
        status = _STATUS.match(message)
        if status is None:
            return False
        asked, self._asked = self._asked, None
        if int(status[1]) in REDIRECTS:
            self.redirected = True
            raise _Over
        if int(status[1]) != 401 or asked is None or asked.tries >= MAX_TRIES:
            return False
        head = message[: _end_of_head(message)]
        try:
            self._auth.accept(value.decode(errors="surrogateescape") for value in _CHALLENGE.findall(head))
        except Fault:
            return False  # FFmpeg is to see that the login was refused
        self._asked = asked
        self._ask(asked)
        return True


def _connected(camera: CameraSpec) -> socket.socket:
    target = RtspTarget.parse(camera.uri)
    connection = socket.create_connection((camera.address, target.port), camera.connect_timeout)
    if not target.tls_name:
        return connection
    try:
        context = tls.context(verify=camera.tls_verify, ca=camera.tls_ca, oldest=camera.tls_min)
        return context.wrap_socket(connection, server_hostname=target.tls_name)
    except OSError:
        connection.close()
        raise


def _read(connection: socket.socket) -> bytes | None:
    """What has come; None when the other end has hung up. Never waits: call it for a socket that is readable.

    With TLS the result may be b"" for the moment: part of a record, or a message of TLS itself (RFC 8446, 4.6).
    """
    try:
        data = _decrypted(connection) if isinstance(connection, ssl.SSLSocket) else connection.recv(READ_SIZE)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return b""
    except ConnectionError:
        return None
    return data or None


def _decrypted(connection: ssl.SSLSocket) -> bytes:
    patience = connection.gettimeout()
    connection.settimeout(0)
    try:
        data = connection.recv(READ_SIZE)
        while connection.pending():
            data += connection.recv(READ_SIZE)
    finally:
        connection.settimeout(patience)
    return data


def _message_end(buffer: bytes | bytearray, at: int = 0) -> int:
    """Where the message ends that begins at `at`; 0 while it is not all there. Raises `_Over` for one too large."""
    left = len(buffer) - at
    if left < 4:
        return 0
    if buffer[at] == FRAME:
        end = at + 4 + int.from_bytes(buffer[at + 2 : at + 4])
        return end if end <= len(buffer) else 0
    if not 65 <= buffer[at] <= 90:  # blank lines, or bytes that mean nothing, up to the next that may
        sense = _SENSE.search(buffer, at)
        return sense.start() if sense else len(buffer)
    head = _end_of_head(buffer, at)
    if not head:
        if left > MAX_HEAD:
            raise _Over
        return 0
    length = _LENGTH.search(buffer, at, head)
    size = int(length[1]) if length else 0
    if size > MAX_BODY:
        raise _Over
    return head + size if head + size <= len(buffer) else 0


def _end_of_head(buffer: bytes | bytearray, at: int = 0) -> int:
    found = _HEAD_END.search(buffer, at)
    return found.end() if found else 0
