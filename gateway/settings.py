"""Every setting, once: its name, its default, what it means."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.webhooks.signature import secret_bytes
from gateway.webhooks.types import chosen
from media.net import tls

FILE = Path("settings.env")
# As browsers write it: without a path, in lower case (RFC 6454, 6.2).
ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?")


def _networks(value: Any) -> Any:
    """A list of networks from one line: `10.0.0.0/8, fd00::/8`."""
    if isinstance(value, str):
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    return value


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


def _names(value: Any) -> Any:
    """A list from one line: `https://a.example, https://b.example`."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _sites(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} must be as https://portal.example or http://10.0.0.5:8080, and no more")
        _ = urlsplit(origin).port  # raises ValueError for one that no port can have
    return origins


def _http(urls: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses of receivers. An error does not quote them, since they may hold a secret."""
    for number, url in enumerate(urls, 1):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise ValueError(f"address {number} must be as https://portal.example/hooks")
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"address {number} must not hold a user or a password: the signature shows who sends")
    return tuple(dict.fromkeys(urls))


def _events(words: tuple[str, ...]) -> tuple[str, ...]:
    chosen(words)
    return words


def _signing(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for secret in secrets:
        secret_bytes(secret.get_secret_value())
    return secrets


def _public(url: str) -> str:
    """The address at which proxies ask the gateway."""
    if url and not re.fullmatch(f"({ORIGIN.pattern})(/[A-Za-z0-9._~%-]+)*/?", url):
        raise ValueError(f"{url!r} must be as https://cams.example or https://portal.example/cams, and no more")
    if url and urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("public_url must begin with http:// or https://")
    return url


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
Origins = Annotated[Names, AfterValidator(_sites)]
Urls = Annotated[Names, AfterValidator(_http)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_names), AfterValidator(_signing)]
Events = Annotated[Names, AfterValidator(_events)]
OptionalPath = Annotated[Path | None, BeforeValidator(_blank_is_none)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)]
PublicUrl = Annotated[str, AfterValidator(_public)]
OptionalNetworks = Annotated[
    tuple[IPv4Network | IPv6Network, ...] | None, NoDecode, BeforeValidator(_networks), BeforeValidator(_blank_is_none)
]
Seconds = Annotated[float, Field(gt=0)]
OptionalRate = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_blank_is_none)]
OptionalSeconds = Annotated[int | None, BeforeValidator(_blank_is_none)]


class Settings(BaseSettings):
    """Read from `settings.env` in the working folder; environment variables of the same names in capitals override.

    `settings.env` in the repository lists each with its default and one sentence; a test compares the two.
    """

    model_config = SettingsConfigDict(env_file=FILE, extra="forbid", frozen=True)

    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8081
    http_plain: bool = False
    http_max_connections: Annotated[int, Field(ge=16)] = 10_000
    tls_cert: OptionalPath = None
    tls_key: OptionalPath = None
    jwt_keys: OptionalPath = None
    jwt_issuer: str = ""
    jwt_audience: str = ""
    cors_origins: Origins = ()
    trusted_proxies: OptionalNetworks = None
    public_url: PublicUrl = ""
    hsts_seconds: Annotated[int, Field(ge=0)] = 0
    media_dir: Path = Path("media-files")
    media_max_bytes: Annotated[int, Field(ge=1)] = 4 * 1024**3
    data_dir: Path = Path("data")
    cache_dir: Path = Path("cache")
    cache_max_bytes: Annotated[int, Field(ge=0)] = 10 * 1024**3

    jobs_max_prefer_wait_time: Annotated[int, Field(ge=0)] = 5
    jobs_max_prefer_timeout: Annotated[int, Field(ge=1)] = 60
    jobs_default_wait: OptionalSeconds = None
    jobs_default_timeout: OptionalSeconds = None
    jobs_max_running: Annotated[int, Field(ge=1)] = 8
    jobs_max_pending: Annotated[int, Field(ge=0)] = 64
    jobs_max_waiters: Annotated[int, Field(ge=1)] = 512
    jobs_cancel_grace: Seconds = 0.3
    jobs_kill_grace: Seconds = 1.0
    jobs_retention: Seconds = 86400.0
    jobs_retention_count: Annotated[int, Field(ge=0)] = 100_000
    jobs_tombstones: Annotated[int, Field(ge=0)] = 10_000
    rate_limit: OptionalRate = None
    jobs_drain_timeout: Annotated[float, Field(ge=0)] = 10.0

    vod_live_loop: bool = False
    fault_injection: bool = False
    camera_connect_timeout: Seconds = 5.0
    camera_keyframe_timeout: Seconds = 20.0
    camera_parameters_timeout: Seconds = 10.0
    tls_ca: OptionalPath = None
    tls_min: Literal["1.0", "1.1", "1.2"] = "1.2"
    hls_segment_duration: Annotated[int, Field(ge=1, le=60)] = 2
    hls_window: Annotated[int, Field(ge=3, le=100)] = 8
    transcode_cores: Annotated[float, Field(ge=0)] = 0
    max_viewers_per_stream: Annotated[int, Field(ge=1)] = 1000
    max_viewers: Annotated[int, Field(ge=1)] = 4000
    ring_max_bytes: Annotated[int, Field(ge=1_000_000)] = 64 * 1024 * 1024

    source_deny: Networks = ()
    source_allow: Networks = ()

    webhook_url: Urls = ()
    webhook_secret: Secrets = ()
    webhook_events: Events = ("job.done", "job.failed", "job.cancelled", "stream.*")
    webhook_give_up: Seconds = 259_200.0
    webhook_backlog: Annotated[int, Field(ge=1)] = 10_000

    @model_validator(mode="after")
    def _defaults_within_maxima(self) -> "Settings":
        for name, most in (("wait", self.jobs_max_prefer_wait_time), ("timeout", self.jobs_max_prefer_timeout)):
            value = getattr(self, f"jobs_default_{name}")
            if value is not None and value > most:
                raise ValueError(f"jobs_default_{name} is {value}, over its maximum of {most}")
        return self

    @model_validator(mode="after")
    def _certificate_with_key(self) -> "Settings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both, or none")
        return self

    @field_validator("tls_ca")
    @classmethod
    def _believed(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                tls.context(verify=True, ca=str(path))
            except OSError as error:
                raise ValueError(f"tls_ca must be a file of certificates in PEM ({type(error).__name__})") from None
        return path and path.absolute()

    @model_validator(mode="after")
    def _tokens_named(self) -> "Settings":
        if self.jwt_keys is not None and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError("jwt_keys needs jwt_issuer and jwt_audience: a token for others is none for this gateway")
        return self

    @model_validator(mode="after")
    def _webhooks_signed(self) -> "Settings":
        if self.webhook_url and not self.webhook_secret:
            raise ValueError("webhook_url needs a webhook_secret; `python -m gateway webhooks secret` makes one")
        return self

    @property
    def keys_file(self) -> Path:
        """Where `python -m gateway keys` keeps the API keys."""
        return self.data_dir / "keys.json"

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of trusted proxies: those of this machine, where nobody else can reach the gateway."""
        if self.trusted_proxies is not None:
            return self.trusted_proxies
        return (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")) if self.loopback_only else ()

    @property
    def loopback_only(self) -> bool:
        """Whether nobody but this machine can reach the gateway."""
        try:
            return ip_address(self.http_host).is_loopback
        except ValueError:
            return self.http_host == "localhost"
