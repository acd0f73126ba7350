"""Opening a camera: `/rtsp/startup`."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from pydantic import AliasChoices, Field

from gateway.jobs.failures import Failure
from gateway.kinds.kind import Ask, Flag, Kind, Params, Plan, Services
from gateway.kinds.live_source import OpenCamera
from gateway.kinds.names import StreamName, name_for
from media.camera.spec import CameraSpec
from media.camera.stream import CameraStream, KeepPolicy
from media.net.secrets import HIDDEN, Secret, shown_uri
from media.stream import Identity, Status

SCHEMES: Final = ("rtsp", "rtsps")

TIMEOUT_CAUSES: Final = {
    "resolving": "source-dns",
    "connecting": "source-timeout",
    "options": "source-timeout",
    "describing": "source-timeout",
    "setup": "source-timeout",
    "playing": "source-no-media",
    "waiting-keyframe": "source-no-keyframe",
}


class RtspParams(Params):
    """`uri` with userinfo or without; `toStream` is an old name of `localStreamName`.

    `onDemand`: the camera is let go when nobody has watched for `idleTimeout` seconds, and comes back with the next
    viewer. `reconnect` false: the stream is FAILED when the camera goes away. `preflight` false: the camera is not
    asked (OPTIONS, DESCRIBE) before a worker opens it. `tlsVerify`, also spelt `tls_verify`: an `rtsps://` camera must
    show a certificate that `tls_ca`, or else the system, trusts for the name in its address.
    """

    uri: str
    local_stream_name: StreamName | None = Field(
        default=None, validation_alias=AliasChoices("localStreamName", "toStream")
    )
    transport: Literal["auto", "tcp", "udp"] = "auto"
    audio: Literal["auto", "off"] = "auto"
    on_demand: Flag = False
    idle_timeout: Annotated[float, Field(ge=1, le=86400, strict=False)] = 30.0
    reconnect: Flag = True
    preflight: Flag = True
    tls_verify: Flag = Field(default=False, validation_alias=AliasChoices("tlsVerify", "tls_verify"))


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """A camera's address taken apart: what may be shown, and what may not (`uri` may hold a token in its query)."""

    uri: str
    username: str
    password: Secret

    @property
    def shown(self) -> str:
        """The address as records show it."""
        return shown_uri(self.uri)

    @property
    def has_credentials(self) -> bool:
        return bool(self.username or self.password) or self.shown != self.uri


def split_address(uri: str) -> CameraAddress:
    """Takes userinfo off an RTSP address. Raises `Failure`: `unsupported-scheme`, or `invalid-field` for nonsense."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _invalid("The address is not a URL.") from None
    if parts.scheme not in SCHEMES:
        raise Failure("unsupported-scheme", "The address of a camera begins with rtsp:// or rtsps://.")
    if not host or any(char.isspace() or ord(char) < 32 for char in uri):
        raise _invalid("The address names no host, or has blanks in it.")
    if port == 0:
        raise _invalid("Port 0 is none.")
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if HIDDEN in (username, password, *(value for _, value in parse_qsl(parts.query))):
        raise _invalid("The credentials are the placeholder that stands for hidden ones.")
    netloc = parts.netloc.rpartition("@")[2]
    return CameraAddress(urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")), username, Secret(password))


def _invalid(detail: str, field: str = "uri") -> Failure:
    return Failure("invalid-field", detail, errors=[{"field": field, "detail": detail}])


async def plan(params: RtspParams, ask: Ask, parts: Services) -> Plan:
    """Checks everything about the request that can be seen without the camera."""
    address = split_address(params.uri)
    name = params.local_stream_name or name_for(address.shown)
    settings = parts.settings
    if params.tls_verify and urlsplit(address.uri).scheme != "rtsps":
        raise _invalid("Only an rtsps:// address has a certificate to be verified.", "tlsVerify")
    spec = CameraSpec(
        uri=address.uri,
        username=address.username,
        password=address.password,
        transport=params.transport,
        audio=params.audio == "auto",
        connect_timeout=settings.camera_connect_timeout,
        keyframe_timeout=settings.camera_keyframe_timeout,
        parameters_timeout=settings.camera_parameters_timeout,
        preflight=params.preflight,
        tls_verify=params.tls_verify,
        tls_ca=str(settings.tls_ca or ""),
        tls_min=settings.tls_min,
    )
    identity = Identity(name, "rtsp", address.shown, address.has_credentials, parts.wall(), ask.job_id)
    policy = KeepPolicy(params.reconnect, params.idle_timeout if params.on_demand else None)
    stream = CameraStream(identity, spec, parts.cameras, policy=policy)
    ask.warn(stream)
    echo = {
        "uri": address.shown,
        "hasCredentials": address.has_credentials,
        "localStreamName": name,
        "transport": params.transport,
        "audio": params.audio,
        "onDemand": params.on_demand,
        "idleTimeout": params.idle_timeout,
        "reconnect": params.reconnect,
        "preflight": params.preflight,
        "tlsVerify": params.tls_verify,
    }
    return Plan((f"name:{name}", f"uri:{address.shown}"), echo, OpenCamera(stream, parts))


def restore(wanted: dict[str, Any], parts: Services) -> CameraStream:
    """A camera that was wanted before the gateway went down: it begins WAITING and opens itself."""
    camera = wanted["camera"]
    settings = parts.settings
    now = {
        "password": Secret(camera["password"]),
        "tls_ca": str(settings.tls_ca or ""),
        "tls_min": settings.tls_min,
    }
    spec = CameraSpec(**{**camera, **now})
    policy = KeepPolicy(**wanted.get("manner", {}))
    stream = CameraStream(Identity(**wanted["identity"]), spec, parts.cameras, Status.WAITING, policy)
    parts.catalog.publish(stream)
    stream.keep()
    return stream


KIND: Final = Kind(
    name="rtsp.startup",
    path="/rtsp/startup",
    pool="camera",
    params=RtspParams,
    plan=plan,
    timeout_cause=TIMEOUT_CAUSES.get,
    stream_kind="rtsp",
    restore=restore,
    example={"uri": "rtsp://192.0.2.7/live", "localStreamName": "lobby"},
)
