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
async def guided_nginx(place: Place, gateway: str, port: int, file: str = "nginx.conf") -> AsyncIterator[str]:
    """nginx as in the guide, before the gateway at that address."""
    changes = {GATEWAY: gateway, "listen 443": f"listen {place.address}:{port}", "/etc/ssl": str(place.folder)}
    async with nginx(place, guide(file, {**changes, "/var/cache/nginx": str(place.folder)}), port) as address:
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
async def _running(command: list[str], place: Place, port: int) -> AsyncIterator[None]:
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    log = place.folder / "proxy.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            program, *command[1:], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=place.folder
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
