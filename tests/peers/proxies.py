"""Debian's proxies and caches, run as the guide has them: on an address of their own, in front of one gateway."""

import asyncio
import os
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme

FOLDER: Final = Path(__file__).parents[2] / "docs/guide/deploy"
HOST: Final = "streams.example"  # that of the guide
GATEWAY: Final = "127.0.0.1:8081"  # that of the guide
PATIENCE: Final = 30.0  # seconds for a start
NOTHING: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy runs: a folder of its own, and an address of the loopback network that nobody else has."""

    folder: Path
    address: str
    authority: trustme.CA

    @classmethod
    def new(cls, folder: Path) -> "Place":
        """With a certificate for `HOST`, as `HOST.pem` and `HOST.key`, which are one file for HAProxy's sake."""
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        issued = authority.issue_cert(HOST)
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{HOST}.pem"))
        issued.private_key_pem.write_to_path(str(folder / f"{HOST}.key"))
        octets = [str(random.randint(1, 254)) for _ in range(3)]
        return cls(folder, ".".join(["127", *octets]), authority)


def guide(name: str, changes: Mapping[str, str]) -> str:
    """A file of the guide, with what depends on the machine changed. Every change has to be one."""
    text = (FOLDER / name).read_text()
    for old, new in changes.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def nginx(place: Place, text: str, port: int) -> AsyncIterator[str]:
    """nginx with that text in its `http` block; it is to listen on `place.address`, `port`."""
    user = "user root;" if os.getuid() == 0 else ""
    config = place.folder / "nginx.conf"
    config.write_text(
        f"{user} daemon off; worker_processes 1; pid {place.folder}/nginx.pid; error_log stderr warn;\n"
        "events { worker_connections 2048; }\n"
        f"http {{ access_log {place.folder}/access.log;\n{_temporary(place.folder)}\n{text}\n}}\n"
    )
    command = ["nginx", "-p", str(place.folder), "-e", "stderr", "-c", str(config)]
    async with _running(command, place, port):
        yield place.address


@asynccontextmanager
async def guided_nginx(
    place: Place, gateway: str, port: int, file: str = "nginx.conf", more: Mapping[str, str] = NOTHING
) -> AsyncIterator[str]:
    """nginx as in the guide, before the gateway at that address, with `more` changed."""
    changes = {GATEWAY: gateway, "listen 443": f"listen {place.address}:{port}", "/etc/ssl": str(place.folder)}
    caching = {} if "path" in file else {"/var/cache/nginx": str(place.folder)}
    async with nginx(place, guide(file, {**changes, **caching, **more}), port) as address:
        yield address


def _temporary(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)


@asynccontextmanager
async def varnish(place: Place, text: str, port: int) -> AsyncIterator[str]:
    """Varnish with that VCL."""
    config = place.folder / "default.vcl"
    config.write_text(text)
    jail = ["-j", "none"] if os.getuid() == 0 else []
    listen = ["-a", f"{place.address}:{port}", "-n", str(place.folder / "varnish"), "-T", "none"]
    command = ["varnishd", "-F", *jail, *listen, "-f", str(config), "-s", "malloc,64m"]
    async with _running(command, place, port):
        yield place.address


@asynccontextmanager
async def guided_varnish(place: Place, gateway: str, port: int) -> AsyncIterator[str]:
    """Varnish as in the guide."""
    host, _, number = gateway.partition(":")
    text = guide("varnish.vcl", {'.host = "127.0.0.1"': f'.host = "{host}"', '.port = "8081"': f'.port = "{number}"'})
    async with varnish(place, text, port) as address:
        yield address


@asynccontextmanager
async def guided_caddy(place: Place, gateway: str, port: int, file: str = "Caddyfile") -> AsyncIterator[str]:
    """Caddy as in the guide."""
    config = place.folder / "Caddyfile"
    site = f"https://{HOST}:{port} {{\n    bind {place.address}"
    changes = {GATEWAY: gateway, f"\n{HOST} {{": f"\n{site}", "/etc/ssl": str(place.folder)}
    config.write_text("{\n    admin off\n    auto_https disable_redirects\n}\n" + guide(file, changes))
    command = ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]
    async with _running(command, place, port):
        yield place.address


@asynccontextmanager
async def guided_haproxy(place: Place, gateway: str, port: int, file: str = "haproxy.cfg") -> AsyncIterator[str]:
    """HAProxy as in the guide."""
    config = place.folder / "haproxy.cfg"
    changes = {GATEWAY: gateway, "bind :443": f"bind {place.address}:{port}", "/etc/ssl": str(place.folder)}
    config.write_text(guide(file, changes))
    async with _running(["haproxy", "-db", "-f", str(config)], place, port):
        yield place.address


MODULES: Final = (
    *("mpm_event", "authz_core", "ssl", "http2", "headers", "alias", "proxy", "proxy_http", "proxy_wstunnel"),
    "socache_shmcb",
)


@asynccontextmanager
async def guided_apache(place: Place, gateway: str, port: int, file: str = "apache.conf") -> AsyncIterator[str]:
    """Apache as in the guide."""
    config = place.folder / "apache2.conf"
    changes = {GATEWAY: gateway, "*:443": f"{place.address}:{port}", "/etc/ssl": str(place.folder)}
    lines = [f"LoadModule {each}_module /usr/lib/apache2/modules/mod_{each}.so" for each in MODULES]
    lines += [f"ServerRoot {place.folder}", f"PidFile {place.folder}/apache.pid", f"Listen {place.address}:{port}"]
    lines += ["ErrorLog /dev/stderr", f"DefaultRuntimeDir {place.folder}", f"Mutex file:{place.folder} default"]
    config.write_text("\n".join([*lines, guide(file, changes)]))
    async with _running(["apache2", "-D", "FOREGROUND", "-f", str(config)], place, port):
        yield place.address


@asynccontextmanager
async def _running(command: list[str], place: Place, port: int) -> AsyncIterator[None]:
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    log = place.folder / "proxy.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            program,
            *command[1:],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=place.folder,
            env={**os.environ, "XDG_DATA_HOME": str(place.folder), "XDG_CONFIG_HOME": str(place.folder)},
        )
    try:
        async with asyncio.timeout(PATIENCE):
            while not await _answers(place.address, port):
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.02)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _answers(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True
