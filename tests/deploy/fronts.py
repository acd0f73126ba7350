"""What stands in front of a gateway: each proxy of the guide, on a host of its own and below a path."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.api.test_access import Guarded
from tests.deploy.outside import Outside, outside
from tests.peers import proxies
from tests.peers.proxies import HOST, Place

PORT: Final = 8443
PATH: Final = "/cams"


@dataclass(frozen=True)
class Front:
    """A proxy, its file in the guide, and the path below which it shows the gateway."""

    run: Callable[[Place, str, int, str], AbstractAsyncContextManager[str]]
    file: str
    prefix: str


FRONTS: Final = {
    file: Front(run, file, PATH if "-path" in file else "")
    for run, files in (
        (proxies.guided_nginx, ("nginx.conf", "nginx-path.conf")),
        (proxies.guided_caddy, ("Caddyfile", "Caddyfile-path")),
        (proxies.guided_haproxy, ("haproxy.cfg", "haproxy-path.cfg")),
        (proxies.guided_apache, ("apache.conf", "apache-path.conf")),
    )
    for file in files
}


@dataclass(frozen=True)
class Served:
    """A gateway behind a front: `url` is where a browser finds it, `outside` calls it from there."""

    url: str
    address: str
    outside: Outside


@asynccontextmanager
async def served(front: Front, guarded: Guarded, folder: Path) -> AsyncIterator[Served]:
    place = Place.new(folder / front.file)
    gateway = guarded.gateway.url.removeprefix("http://")
    async with front.run(place, gateway, PORT, front.file), outside(place, PORT) as caller:
        yield Served(f"https://{HOST}:{PORT}{front.prefix}", place.address, caller)
