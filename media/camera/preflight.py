"""Finding out whether a camera can be opened, and why not, before a worker process is spent on it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from media.camera.spec import CameraSpec
from media.faults import Fault
from media.net import tls
from media.net.addresses import AddressPolicy
from media.net.resolver import Resolve, system_resolver
from media.net.secrets import Secret
from media.rtsp.auth import Authenticator
from media.rtsp.sdp import BACKCHANNEL, NOTHING, Description, MediaDescription, parse
from media.rtsp.target import RtspTarget
from media.rtsp.wire import Response, RtspConnection

MAX_REDIRECTS: Final = 3
ASKING: Final = 2.0  # seconds to find out which TLS a camera speaks that does not speak ours
OPTIONS_SHARE: Final = 0.3  # of the time for it all, which an answer to OPTIONS may take before DESCRIBE is asked
MAX_DESCRIBES: Final = 3  # without credentials, with them, and once more after a stale nonce

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_BUSY: Final = (453, 503)  # Not Enough Bandwidth: what cameras say at their limit of sessions (RFC 2326, 11.3.11)

# When several addresses fail, the most telling failure is reported.
_TELLING: Final = (
    "source-unreachable",
    "source-timeout",
    "source-protocol-error",
    "source-refused",
    "source-untrusted",
)


@dataclass(frozen=True, slots=True)
class Described:
    """A camera that answered DESCRIBE with something to watch or hear.

    `address` and `port` are what was connected to: checked, literal, to be used by whoever connects next. `uri` is the
    camera's, after redirects and without userinfo. `credentials` says whether they may be sent there; `authentication`
    how they were: `basic`, a digest's algorithm, or "" where nobody asked. `relay`: FFmpeg cannot be left alone with
    it (`_needs_relay`). `options`: it answers OPTIONS. `tracks` are those that were asked for. `warnings` are words for
    oddities. `server` and `public` (methods) are the camera's own claims. `timings`: milliseconds by phase.
    """

    address: str
    port: int
    uri: str
    redirected: bool
    credentials: bool
    authentication: str
    relay: bool
    options: bool
    tracks: tuple[MediaDescription, ...]
    warnings: tuple[str, ...]
    server: str
    public: tuple[str, ...]
    timings: dict[str, float]

    def pin(self, spec: CameraSpec) -> CameraSpec:
        """Returns `spec` with the place that was found: its final uri, its address, and no credentials that are not for
        it.
        """
        spec = replace(spec, uri=self.uri, address=self.address, relay=self.relay, options=self.options)
        return spec if self.credentials else replace(spec, username="", password=Secret())


@dataclass(slots=True)
class _Progress:
    """Which phase it is, until when all must be done, and how long each took (redirects add to the same phases)."""

    on_phase: Callable[[str], None]
    until: float  # loop time
    phase: str = "resolving"
    timings: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def enter(self, phase: str) -> None:
        self.finish()
        self.phase = phase
        self.on_phase(phase)

    def finish(self) -> None:
        now = time.monotonic()
        self.timings[self.phase] = round(self.timings.get(self.phase, 0.0) + (now - self._since) * 1000, 1)
        self._since = now


@dataclass(slots=True)
class _Visit:
    """One camera at one address: who is asked, with which credentials."""

    target: RtspTarget
    address: str
    auth: Authenticator
    progress: _Progress
    tls_version: str  # in OpenSSL's words; "" for a plain connection


async def preflight(
    spec: CameraSpec, policy: AddressPolicy, on_phase: Callable[[str], None], resolve: Resolve = system_resolver
) -> Described:
    """Resolve, connect, OPTIONS, DESCRIBE; `on_phase` is told each phase as it begins.

    The limit is `spec.connect_timeout`, for all of it. What was checked by `policy` is what is connected to: names are
    resolved once, and a redirect is checked anew. An `rtsps://` camera is spoken to encrypted, but its certificate is
    verified only with `spec.tls_verify`. DESCRIBE makes no session, so this costs the camera next to nothing.

    Raises Fault, with its phase: `source-dns`, `source-forbidden`, `source-refused`, `source-unreachable`,
    `source-timeout`, `source-untrusted`, `source-auth-failed`, `source-not-found`, `source-busy`,
    `source-protocol-error`, `source-no-media`, `unsupported-scheme`. No text of it holds a path, a query or
    credentials. May be cancelled at any time; the connection is closed then, at once.
    """
    loop = asyncio.get_running_loop()
    progress = _Progress(on_phase, until=loop.time() + spec.connect_timeout)
    try:
        async with asyncio.timeout_at(progress.until):
            return await _follow(spec, policy, progress, resolve)
    except TimeoutError:
        detail = f"no answer within {spec.connect_timeout:g} s while {progress.phase}; check the camera and the network"
        raise Fault("source-timeout", detail, progress.phase) from None
    except Fault as fault:
        fault.phase = fault.phase or progress.phase
        raise


async def locate(
    spec: CameraSpec, policy: AddressPolicy, on_phase: Callable[[str], None], resolve: Resolve = system_resolver
) -> CameraSpec:
    """Returns `spec` with its address resolved, checked and pinned, without a connection: the least that a preflight
    does.

    Raises Fault as `preflight` does while resolving.
    """
    on_phase("resolving")
    target = RtspTarget.parse(spec.uri)
    try:
        async with asyncio.timeout(spec.connect_timeout):
            known = (spec.address,) if spec.address else await resolve(target.host, target.port)
    except TimeoutError:
        detail = f"the name {target.host!r} was not resolved within {spec.connect_timeout:g} s"
        raise Fault("source-timeout", detail, "resolving") from None
    addresses = policy.allowed(known)
    if not addresses:
        raise Fault("source-dns", f"the name {target.host!r} has no address", "resolving")
    return replace(spec, address=addresses[0])


async def _follow(spec: CameraSpec, policy: AddressPolicy, progress: _Progress, resolve: Resolve) -> Described:
    """Visits the camera, and each place that it redirects to, until one describes itself."""
    target = RtspTarget.parse(spec.uri)
    trusted = True  # credentials are for the host that they were given for, and no other
    known = spec.address
    for redirects in range(MAX_REDIRECTS + 1):
        progress.enter("resolving")
        addresses = policy.allowed((known,) if known else await resolve(target.host, target.port))
        progress.enter("connecting")
        connection, address = await _connect(addresses, target, spec, progress.until)
        auth = Authenticator(spec.username, spec.password) if trusted else Authenticator("")
        visit = _Visit(target, address, auth, progress, connection.tls_version)
        try:
            options, answer = await _ask(visit, connection)
        finally:
            connection.abort()
        if answer.status not in _REDIRECTS:
            return _described(spec, visit, options, answer, redirected=bool(redirects))
        target, stays = target.follow(answer.value("location"), address)
        trusted = trusted and stays
        known = address if stays else ""
    raise Fault("source-protocol-error", f"the camera redirects more than {MAX_REDIRECTS} times")


async def _connect(
    addresses: tuple[str, ...], target: RtspTarget, spec: CameraSpec, until: float
) -> tuple[RtspConnection, str]:
    """Connects to the first of `addresses` that accepts; each has an equal share of the time that is left."""
    faults: list[Fault] = []
    context = tls.context(verify=spec.tls_verify, ca=spec.tls_ca, oldest=spec.tls_min) if target.tls_name else None
    for index, address in enumerate(addresses):
        try:
            async with asyncio.timeout(_share(until, len(addresses) - index)):
                return await RtspConnection.open(address, target.port, target.tls_name, context), address
        except OSError as error:
            if context and isinstance(error, tls.BROKEN) and not isinstance(error, ConnectionRefusedError):
                spoken = await _spoken(address, target)
                faults.append(tls.fault(error, f"{address} port {target.port}", spoken))
            else:
                faults.append(_connect_fault(error, address, target.port))
    if not faults:
        raise Fault("source-dns", f"the name {target.host!r} has no address")
    raise max(faults, key=lambda fault: _TELLING.index(fault.code))


async def _spoken(address: str, target: RtspTarget) -> str:
    """The version of TLS that a camera agrees to when it may have any; "" when it agrees to none."""
    try:
        async with asyncio.timeout(ASKING):
            connection = await RtspConnection.open(address, target.port, target.tls_name, tls.ancient())
    except OSError:
        return ""
    try:
        return connection.tls_version
    finally:
        connection.abort()


def _share(until: float, parts: int) -> float | None:
    """Seconds for one of `parts` attempts; None for the last, which the limit around it ends."""
    return None if parts == 1 else (until - asyncio.get_running_loop().time()) / parts


def _connect_fault(error: OSError, address: str, port: int) -> Fault:
    where = f"{address} port {port}"
    if isinstance(error, ConnectionRefusedError):
        return Fault("source-refused", f"{where} refuses connections; check the port, and that the camera serves RTSP")
    if isinstance(error, TimeoutError):
        return Fault("source-timeout", f"{where} does not answer; check the address and firewalls")
    if isinstance(error, ConnectionError):
        return Fault("source-protocol-error", f"{where} closed the connection while it was made")
    return Fault("source-unreachable", f"{where} cannot be reached; check the network of this machine and the camera")


async def _ask(visit: _Visit, connection: RtspConnection) -> tuple[Response, Response]:
    """Sends OPTIONS, then DESCRIBE; a redirect may come from either.

    A bad answer to OPTIONS decides nothing, and neither does none: cameras say 401, 404 or 501 to it, or nothing at
    all, and describe themselves well. What is not answered has status 0. The phase of a peer that has not said a word
    is still `options`.
    """
    visit.progress.enter("options")
    options = await _options(visit, connection)
    if options.status in _REDIRECTS:
        return options, options
    if options.status:
        visit.progress.enter("describing")
    if options.status == 401:
        with suppress(Fault):  # DESCRIBE may be open to all, or offer more
            visit.auth.accept(options.values("www-authenticate"))
    for _ in range(MAX_DESCRIBES):
        answer = await _describe(visit, connection)
        if visit.progress.phase == "options":
            visit.progress.enter("describing")
        if answer.status != 401:
            return options, answer
        visit.auth.accept(answer.values("www-authenticate"))
    raise Fault("source-auth-failed", "the camera says again and again that its nonce is stale")


async def _options(visit: _Visit, connection: RtspConnection) -> Response:
    """The answer to OPTIONS; status 0 when nothing has come of one in a share of the time that is left."""
    left = visit.progress.until - asyncio.get_running_loop().time()
    asking = asyncio.create_task(connection.request("OPTIONS", visit.target.uri, {}), name="rtsp-options")
    try:
        await asyncio.wait({asking}, timeout=left * OPTIONS_SHARE)
        if asking.done() or connection.begun:
            return await asking
    finally:
        asking.cancel()
        await asyncio.wait({asking})
    return Response(0)


async def _describe(visit: _Visit, connection: RtspConnection) -> Response:
    uri = visit.target.uri
    headers = {"Accept": "application/sdp", "Authorization": visit.auth.authorization("DESCRIBE", uri)}
    return await connection.request("DESCRIBE", uri, headers)


def _described(spec: CameraSpec, visit: _Visit, options: Response, answer: Response, *, redirected: bool) -> Described:
    """Judge the answer to DESCRIBE. Raises Fault for one that is no description of something to watch or hear."""
    _check_status(answer.status)
    description = parse(answer.body)
    tracks = tuple(track for track in description.tracks if spec.audio or track.media == "video")
    if not tracks:
        raise _no_media(description)
    visit.progress.finish()
    warnings = [*description.warnings]
    answered = 200 <= options.status < 300 or options.status == 401
    if not answered:
        warnings.append("options-refused" if options.status else "options-unanswered")
    return Described(
        address=visit.address,
        port=visit.target.port,
        uri=visit.target.uri,
        redirected=redirected,
        credentials=bool(visit.auth.username or visit.auth.password),
        authentication=visit.auth.scheme,
        relay=_needs_relay(visit, answer.body, description),
        options=answered,
        tracks=tracks,
        warnings=tuple(warnings),
        server=_printable(answer.value("server") or options.value("server"), spec.password),
        public=tuple(word.strip() for word in _printable(options.value("public")).split(",") if word.strip()),
        timings=dict(visit.progress.timings),
    )


def _needs_relay(visit: _Visit, body: bytes, description: Description) -> bool:
    """Whether FFmpeg would fail with this camera on its own.

    Its login is one that FFmpeg does not know. Its TLS is older than FFmpeg may speak. It describes sound that is not
    to be set up. Its description ends in the middle of a line, as where Content-Length does not count the last line end
    (each line has one: RFC 8866, 5); FFmpeg then takes the rest for the beginning of an answer.
    """
    odd = not body.endswith(b"\n") or not {BACKCHANNEL, NOTHING}.isdisjoint(description.ignored)
    return odd or visit.auth.beyond_ffmpeg or visit.tls_version in tls.OLD


def _check_status(status: int) -> None:
    if 200 <= status < 300:
        return
    if status == 404:
        raise Fault("source-not-found", "the camera answers 404 to DESCRIBE; check the path of the address")
    if status in _BUSY:
        raise Fault("source-busy", f"the camera answers {status} to DESCRIBE; it may be at its limit of sessions")
    raise Fault("source-protocol-error", f"the camera answers {status} to DESCRIBE")


def _no_media(description: Description) -> Fault:
    offered = [*description.ignored, *(["audio (which is off)"] if description.tracks else [])]
    what = f"only {', '.join(_printable(word) for word in offered[:4])}" if offered else "nothing"
    return Fault("source-no-media", f"the camera describes {what}: no video or audio to take; check its profile")


def _printable(text: str, secret: Secret | None = None) -> str:
    """What a camera says about itself, made fit for a log: without control characters, and without a password that it
    echoes.
    """
    if secret:
        text = text.replace(secret.reveal(), "***")
    return "".join(char for char in text if char.isprintable())[:200]
