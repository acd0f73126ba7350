"""Scripted peers on loopback, standing where a camera should be, and the preflight that is sent to them."""

import asyncio
import hashlib
import re
import secrets
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from media.camera.preflight import Described, preflight
from media.camera.spec import CameraSpec
from media.faults import Fault
from media.net.addresses import AddressPolicy
from media.net.resolver import Resolve, system_resolver

HERE = AddressPolicy(loopback=True)
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=Camera\r\nt=0 0\r\na=control:*\r\n"
    b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    b"a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0IAHpWoKA9k,aM48gA==\r\na=control:trackID=0\r\n"
    b"m=audio 0 RTP/AVP 8\r\na=control:trackID=1\r\n"
)


@dataclass(frozen=True)
class Asked:
    """A request as the peer read it; names of headers in lower case."""

    method: str
    uri: str
    headers: dict[str, str]


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[object, object, None]]
Reply = Callable[[Asked], bytes | None]


@dataclass
class Peer:
    """A peer that listens: its port, what it was asked on all connections, and how its connections do."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connects: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    heard: asyncio.Event = field(default_factory=asyncio.Event)  # a connection, and then each request

    @property
    def methods(self) -> list[str]:
        return [asked.method for asked in self.asked]

    async def gone(self) -> None:
        """Waits until every connection has been closed by the other side; TimeoutError when one stays."""
        async with asyncio.timeout(15):
            while any(not task.done() for task in self.tasks):
                await asyncio.wait(self.tasks)


@asynccontextmanager
async def raw_peer(script: Script, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Runs `script` for each connection. It is cancelled at the end."""
    peer = Peer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.connects += 1
        peer.heard.set()
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(reader, writer)
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.tasks.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in peer.tasks:
            task.cancel()
        await asyncio.gather(*peer.tasks, return_exceptions=True)


@asynccontextmanager
async def peer_that(reply: Reply, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Reads requests and sends what `reply` makes of each; None is no answer."""
    known: list[Peer] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await read_request(reader)
            known[0].asked.append(asked)
            known[0].heard.set()
            if (answer := reply(asked)) is not None:
                writer.write(answer)
                await writer.drain()

    async with raw_peer(script, host, tls) as peer:
        known.append(peer)
        yield peer


async def read_request(reader: asyncio.StreamReader) -> Asked:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, uri, version = lines[0].split(" ")
    assert version == "RTSP/1.0"
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return Asked(method, uri, {name.lower(): value for name, value in headers.items()})


def answer(asked: Asked, status: int = 200, headers: Iterable[str] = (), body: bytes = b"") -> bytes:
    lines = [f"RTSP/1.0 {status} Whatever", f"CSeq: {asked.headers['cseq']}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def camera(asked: Asked, body: bytes = SDP) -> bytes:
    """What a healthy camera without a password says."""
    if asked.method == "OPTIONS":
        return answer(asked, headers=["Public: OPTIONS, DESCRIBE, SETUP, PLAY", "Server: Peer/1.0"])
    return answer(asked, headers=["Content-Type: application/sdp"], body=body)


@dataclass
class Guard:
    """A healthy camera that lets in one user, by the challenges given; `{nonce}` in one stands for a fresh nonce.

    It computes the digest itself, from the RFC's formulas. `stale` is how many good answers it calls stale.
    """

    username: str
    password: str
    challenges: tuple[str, ...]
    stale: int = 0
    guard_options: bool = False
    nonces: list[str] = field(default_factory=list)
    schemes: list[str] = field(default_factory=list)

    def __call__(self, asked: Asked) -> bytes:
        if asked.method == "OPTIONS" and not self.guard_options:
            return camera(asked)
        given = asked.headers.get("authorization", "")
        if not given or not self._right(asked, given):
            return self._refuse(asked, "")
        if self.stale:
            self.stale -= 1
            return self._refuse(asked, ", stale=true")
        return camera(asked)

    def _refuse(self, asked: Asked, extra: str) -> bytes:
        self.nonces.append(secrets.token_hex(8))
        texts = [text.replace("{nonce}", self.nonces[-1]) for text in self.challenges]
        return answer(asked, 401, [f"WWW-Authenticate: {text}{extra}" for text in texts])

    def _right(self, asked: Asked, given: str) -> bool:
        scheme, _, rest = given.partition(" ")
        if scheme == "Basic":
            self.schemes.append("Basic")
            return b64decode(rest) == f"{self.username}:{self.password}".encode()
        fields = {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]*))', rest)}
        algorithm = fields.get("algorithm", "MD5")
        self.schemes.append(algorithm)
        if fields["nonce"] != self.nonces[-1] or fields["uri"] != asked.uri:
            return False
        return bool(fields["response"] == self._digest(algorithm, asked, fields))

    def _digest(self, algorithm: str, asked: Asked, fields: dict[str, str]) -> str:
        function = hashlib.sha256 if algorithm.startswith("SHA-256") else hashlib.md5

        def h(*parts: str) -> str:
            return function(":".join(parts).encode()).hexdigest()

        secret = h(self.username, fields["realm"], self.password)
        if algorithm.endswith("-sess"):
            secret = h(secret, fields["nonce"], fields["cnonce"])
        request = h(asked.method, asked.uri)
        if "qop" in fields:
            return h(secret, fields["nonce"], fields["nc"], fields["cnonce"], fields["qop"], request)
        return h(secret, fields["nonce"], request)


def resolver_of(*answers: str) -> tuple[Callable[[str, int], Awaitable[tuple[str, ...]]], list[str]]:
    """A resolver that knows one answer, and the list of names that it was asked for."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> tuple[str, ...]:
        asked.append(host)
        return answers

    return resolve, asked


def redirect_to(target: str, method: str = "DESCRIBE", status: int = 302) -> Reply:
    """A camera that sends on whoever asks by `method`."""

    def reply(asked: Asked) -> bytes:
        return answer(asked, status, [f"Location: {target}"]) if asked.method == method else camera(asked)

    return reply


async def go(spec: CameraSpec, resolve: Resolve = system_resolver) -> Described:
    return await preflight(spec, HERE, lambda phase: None, resolve)


async def fault_of(spec: CameraSpec, policy: AddressPolicy = HERE, resolve: Resolve = system_resolver) -> Fault:
    with pytest.raises(Fault) as caught:
        await preflight(spec, policy, lambda phase: None, resolve)
    return caught.value


def spec_for(peer: Peer, timeout: float = 5.0) -> CameraSpec:
    """A camera at the peer's port."""
    return CameraSpec(f"rtsp://127.0.0.1:{peer.port}/live?channel=1", connect_timeout=timeout)


async def fault_with(reply: Reply, timeout: float = 5.0) -> Fault:
    """What a preflight of a peer that answers so ends with; the peer has seen its client go then."""
    async with peer_that(reply) as peer:
        fault = await fault_of(spec_for(peer, timeout))
        await peer.gone()
        return fault
