"""The camera rows about coming back, letting go and not being a nuisance, in real time."""

import asyncio
import os
import signal
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.processes import until
from tests.support.torture_cameras import camera, chunks, gateway, media, record, start, status_becomes

pytestmark = pytest.mark.media

GRACE = 5.0  # seconds: on a busy machine a TEARDOWN takes longer than a cancel usually has


@pytest.fixture
def gateway_here(tmp_path: Path) -> AbstractAsyncContextManager[Api]:
    """The gateway of the fixture `api`."""
    return gateway(tmp_path, jobs_cancel_grace=GRACE)


async def test_C34_C35_C36_stale_sessions_keep_alives_and_teardown(api: Api) -> None:
    """Side by side, since both have to wait for time to pass."""
    known = asyncio.Event()  # which of the workers is the one to be killed
    await asyncio.gather(
        _a_killed_worker_waits_for_its_stale_session(api, known), _a_session_is_kept_alive_and_torn_down(api, known)
    )


async def _a_killed_worker_waits_for_its_stale_session(api: Api, known: asyncio.Event) -> None:
    # The session is to be there still at the first try after the crash, however slow the machine, and gone at the next.
    async with camera("limit_sessions=1", "linger", session_timeout=5) as peer:
        before = set(api.gateway.workers.pids())
        await start(api, peer.url, "C34")
        await until(lambda: len(set(api.gateway.workers.pids()) - before) == 1)  # it may speak before its pid is known
        (worker,) = set(api.gateway.workers.pids()) - before
        known.set()
        os.kill(worker, signal.SIGKILL)
        await status_becomes(api, "WAITING", "C34")
        await status_becomes(api, "LIVE", "C34", seconds=60)
        told = await record(api, "C34")
        codes = [attempt["code"] for attempt in told["attempts"]]
        assert codes[:2] == [None, "worker-crashed"]
        assert codes[-1] is None
        assert set(codes[2:-1]) == {"source-busy"}
        setups = [seen.at for seen in peer.requests if seen.method == "SETUP" and seen.url.endswith("0")]
        # After the crash at once, then not more than one attempt in five seconds.
        assert all(after - before >= 4.9 for before, after in pairwise(setups[1:]))


async def _a_session_is_kept_alive_and_torn_down(api: Api, known: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    async with camera(session_timeout=4) as peer:
        await known.wait()
        await start(api, peer.url, "C35")
        began = loop.time()
        await until(lambda: loop.time() - began > 5.0)
        assert (await record(api, "C35"))["restarts"] == 0
        signs = [seen.at for seen in peer.requests if seen.method in ("PLAY", "OPTIONS", "GET_PARAMETER")]
        assert max(b - a for a, b in pairwise(signs[1:])) < 4
        began = loop.time()
        asked = asyncio.create_task(api.post("/rtsp/terminate", {"localStreamName": "C35"}))
        await until(lambda: peer.teardowns == 1)
        assert loop.time() - began < GRACE - 1.0
        await asked
        async with asyncio.timeout(15):
            await peer.until_empty()


async def test_C36_the_camera_reads_its_teardown_before_the_connection_goes(api: Api) -> None:
    """A reset by media that nobody has read would overtake the request in a camera that is about to write."""
    async with camera("delay=TEARDOWN:0.1", clip={"bitrate": 1_000_000}) as peer:  # two or three pictures go by
        for _ in range(3):
            assert (await start(api, peer.url)).status == 200
            await api.post("/rtsp/terminate", {"localStreamName": "cam"})
            async with asyncio.timeout(15):
                await peer.until_empty()
        assert (peer.teardowns, peer.resets) == (3, 0)


async def test_C36_a_camera_that_is_silent_is_torn_down_too(tmp_path: Path) -> None:
    """FFmpeg waits for it, and has to be woken."""
    async with gateway(tmp_path, jobs_cancel_grace=GRACE) as api, camera(clip={"audio": False}) as peer:
        assert (await start(api, peer.url)).status == 200
        peer.stall()
        await api.post("/rtsp/terminate", {"localStreamName": "cam"})
        await until(lambda: peer.teardowns == 1)


@pytest.mark.soak
async def test_C45_fifty_cameras_of_one_host_die_and_come_back_without_a_stampede(tmp_path: Path) -> None:
    """The long form of what tests/media/camera/test_stream.py does in virtual time."""
    loop = asyncio.get_running_loop()
    async with gateway(tmp_path) as api:
        async with camera() as peer:
            port = peer.port
            for number in range(50):  # addresses of one camera, as a recorder has channels
                assert (await start(api, f"{peer.url}?channel={number}", f"cam{number}")).status in (200, 202)
            await until(lambda: len(list(api.gateway.catalog.streams())) == 50, 120)
        streams = list(api.gateway.catalog.streams())
        await until(lambda: all(stream.status == "WAITING" for stream in streams), 30)
        await asyncio.sleep(30)  # until the quick retries are over
        async with camera(port=port) as peer:
            began = loop.time()
            await until(lambda: all(stream.status == "LIVE" for stream in streams), 90)
            took = loop.time() - began
            first: dict[int, float] = {}
            for seen in peer.requests:
                first.setdefault(seen.peer, seen.at)
            times = sorted(first.values())
            most = max(sum(start <= at < start + 1.0 for at in times) for start in times)
            print(f"{len(times)} connects in {took:.1f} s, at most {most} in a second; ", end="")
            assert len(times) >= 100  # a preflight and a worker each
            assert most <= 4
            assert all(stream.record()["restarts"] == 1 for stream in streams)


async def test_a_camera_on_demand_is_let_go_and_comes_back_for_a_viewer(api: Api) -> None:
    async with camera() as peer:
        opened = await start(api, peer.url, onDemand=True, idleTimeout=1)
        assert opened.status == 200
        await status_becomes(api, "IDLE")
        await until(lambda: peer.teardowns == 1)
        assert api.gateway.workers.alive == 0
        assert (await api.get("/live/cam/index.m3u8")).status in (200, 503)
        await status_becomes(api, "LIVE")
        assert (await record(api))["restarts"] == 0


async def test_a_camera_that_is_not_to_come_back_has_failed_when_it_goes(api: Api) -> None:
    async with camera() as peer:
        opened = await start(api, peer.url, reconnect=False)
        peer.drop()
        stream = api.gateway.catalog.by_id(opened.body["id"])
        assert stream is not None
        await until(lambda: stream.status == "FAILED")
        assert stream.record()["lastError"]["code"] == "source-protocol-error"


async def test_a_first_refused_login_of_a_camera_that_worked_may_mean_that_it_is_full(api: Api) -> None:
    async with camera(user="u", password="p") as peer:
        await start(api, peer.login_url)
        peer.refuse_auth()
        peer.drop()
        await until(lambda: len(api.gateway.catalog.holder("cam").record()["attempts"]) >= 3)  # type: ignore[union-attr]
        told = await record(api)
        assert told["lastError"]["code"] == "source-auth-or-busy"
        assert told["nextRetryAt"] > told["lastError"]["at"]


async def test_a_gateway_that_restarts_opens_its_cameras_again(tmp_path: Path) -> None:
    async with camera(user="u", password="p") as peer:
        async with gateway(tmp_path, jobs_cancel_grace=GRACE) as api:
            opened = await start(api, peer.login_url, onDemand=True, idleTimeout=60)
        await until(lambda: peer.teardowns == 1)
        async with gateway(tmp_path) as api:
            await status_becomes(api, "LIVE")
            await media(api, 0.4)
            assert (await chunks(api))[0].independent
            assert (await record(api))["id"] == opened.body["id"]
