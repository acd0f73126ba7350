"""One delivery over HTTP: only to addresses that the policy allows, with a limit, and not where a redirect leads."""

import socket
import ssl

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.webhooks.post import Post, Reply, Unreachable
from media.net.addresses import AddressPolicy
from tests.peers.black_hole import black_hole
from tests.support.webhook_receiver import Receiver

HERE = AddressPolicy(loopback=True)


async def post(url: str, policy: AddressPolicy = HERE, addresses: tuple[str, ...] = (), seconds: float = 30.0) -> Reply:
    """One delivery; every name resolves to these addresses."""

    async def resolve(host: str, port: int) -> tuple[str, ...]:
        return addresses

    async with Post(policy, seconds, resolve) as send:
        return await send(url, {"webhook-id": "evt_1"}, b"{}")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"])
async def test_an_address_that_the_policy_denies_is_not_connected_to(host: str) -> None:
    with pytest.raises(Unreachable, match="is not allowed"):
        await post(f"http://{host}:9/hooks", AddressPolicy())


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("169.254.169.254", "::1"), ("::ffff:127.0.0.1",)])
async def test_a_name_that_leads_to_a_denied_address_is_not_connected_to(addresses: tuple[str, ...]) -> None:
    with pytest.raises(Unreachable, match="is not allowed"):
        await post("http://portal.example:9/hooks", AddressPolicy(), addresses)


async def test_of_the_addresses_of_a_name_only_the_allowed_ones_are_connected_to() -> None:
    async def take(request: web.Request) -> web.Response:
        assert request.headers["Host"].startswith("portal.example")
        assert request.headers["User-Agent"].startswith("Reelgate/")
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/hooks", take)
    async with TestServer(app) as server:
        policy = AddressPolicy.parse(deny=["127.0.0.2/32"], loopback=True)
        url = f"http://portal.example:{server.port}/hooks"
        assert (await post(url, policy, ("127.0.0.2", "127.0.0.1"))).taken


async def test_a_redirect_is_not_followed_and_counts_as_not_taken() -> None:
    async with Receiver() as receiver:
        app = web.Application()
        seen = []

        async def elsewhere(request: web.Request) -> web.Response:
            seen.append(request.method)
            raise web.HTTPTemporaryRedirect(receiver.url)

        app.router.add_post("/hooks", elsewhere)
        async with TestServer(app) as server:
            reply = await post(str(server.make_url("/hooks")))
        assert (reply.status, reply.taken, seen, receiver.asked) == (307, False, ["POST"], 0)


async def test_who_does_not_answer_is_unreachable_and_the_reason_names_no_path() -> None:
    with socket.socket() as refusing, black_hole() as silent:
        refusing.bind(("127.0.0.1", 0))  # its port is nobody else's, and it does not listen
        cases = ((refusing.getsockname()[1], 30.0, "cannot connect"), (silent, 0.2, "no answer within 0.2 s"))
        for port, seconds, said in cases:
            with pytest.raises(Unreachable, match=said) as failed:
                await post(f"http://127.0.0.1:{port}/hooks?token=hidden", seconds=seconds)
            assert "hooks" not in str(failed.value)


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = TestServer(web.Application())
    await server.start_server(ssl=context)
    try:
        with pytest.raises(Unreachable, match="its certificate is not to be trusted"):
            await post(f"https://127.0.0.1:{server.port}/hooks")
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("value", "seconds"), [("", 0.0), ("120", 120.0), ("999999", 3600.0), ("-1", 0.0), ("soon", 0.0), ("٣", 0.0)]
)
async def test_how_long_a_receiver_may_ask_to_wait_is_bounded(value: str, seconds: float) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": value})

    app = web.Application()
    app.router.add_post("/hooks", busy)
    async with TestServer(app) as server:
        assert await post(str(server.make_url("/hooks"))) == Reply(503, seconds)
