"""The camera rows that end without a picture: the exact reason, in time, and nothing left."""

import asyncio
import json
import logging
import os
import signal
import socket
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from media.faultcamera.settings import Scheme
from tests.conftest import SOAK
from tests.peers.black_hole import black_hole
from tests.support.api import Api
from tests.support.camera_peers import Asked, answer, peer_that, redirect_to
from tests.support.camera_peers import camera as healthy
from tests.support.processes import only_worker, open_files, until
from tests.support.torture_cameras import camera, gateway, job_error, media, record, start, warnings

pytestmark = pytest.mark.media


@pytest.fixture
def gateway_here(tmp_path: Path) -> AbstractAsyncContextManager[Api]:
    """The gateway of the fixture `api`."""
    return gateway(tmp_path, camera_keyframe_timeout=2, camera_parameters_timeout=1)


async def clean(api: Api, files: int) -> None:
    """No worker, and no file more than before."""
    await until(lambda: api.gateway.workers.alive == 0)
    await until(lambda: open_files() <= files)


async def test_C1_a_black_hole_ends_at_the_deadline(api: Api) -> None:
    loop = asyncio.get_running_loop()
    with black_hole() as port:
        await start(api, "rtsp://127.0.0.1:9/warm-up", "warm")
        files, began = open_files(), loop.time()
        told = await start(api, f"rtsp://127.0.0.1:{port}/live", prefer="wait=30, timeout=2")
        assert 2.0 <= loop.time() - began < 20  # the end of the job, not of the `wait`
        assert (told.status, told.body["code"]) == (504, "job-timeout")
        error = await job_error(api, told.body["job"]["id"])
        assert (error["state"], error["phase"], error["cause"]) == ("CANCELLED", "connecting", "source-timeout")
        await clean(api, files)


async def test_C2_a_closed_port_refuses_at_once(api: Api) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as holder:  # so that nobody else listens there meanwhile
        holder.bind(("127.0.0.1", 0))
        began = loop.time()
        told = await start(api, f"rtsp://127.0.0.1:{holder.getsockname()[1]}/live")
    assert (told.status, told.body["code"], told.body["phase"]) == (502, "source-refused", "connecting")
    assert loop.time() - began < 4  # less than the limit of connecting


async def test_C3_a_name_that_does_not_resolve_says_so(tmp_path: Path) -> None:
    # The system may ask one DNS server after another for longer than a camera may take.
    async with gateway(tmp_path, camera_connect_timeout=60) as api:
        asked = await start(api, "rtsp://no-such-camera.invalid/live", prefer="wait=0, timeout=60")
        await api.ended(asked.body["id"])
        told = await api.get(f"/rest-api/v3/jobs/{asked.body['id']}/result")
    assert (told.status, told.body["code"], told.body["phase"]) == (502, "source-dns", "resolving")


async def test_C4_C7_C8_C9_silence_names_its_phase(api: Api) -> None:
    async def one(row: str, faults: str, phase: str, cause: str) -> None:
        async with camera(*faults.split()) as peer:
            # Long enough for a slow machine to come as far, and shorter than the limits of the phases themselves.
            told = await start(api, peer.url, row, prefer="wait=30, timeout=4")
            error = await job_error(api, told.body["job"]["id"])
            assert (error["state"], error["code"], error["phase"]) == ("CANCELLED", "job-timeout", phase), row
            assert error["cause"] == cause, row

    await asyncio.gather(
        one("C4", "silent=OPTIONS silent=DESCRIBE", "options", "source-timeout"),
        one("C7", "silent=DESCRIBE", "describing", "source-timeout"),
        one("C8", "silent=SETUP", "setup", "source-timeout"),
        one("C9", "no_rtp", "playing", "source-no-media"),
    )


async def test_C11_a_wrong_password_is_sent_once(api: Api) -> None:
    async with camera("refuse_auth", user="u", password="p") as peer:
        told = await start(api, peer.login_url)
        assert (told.status, told.body["code"]) == (502, "source-auth-failed")
        assert [seen.method for seen in peer.requests] == ["OPTIONS", "DESCRIBE", "DESCRIBE"]
        assert peer.connects == 1


async def test_C12_every_login_that_ffmpeg_knows_opens(api: Api) -> None:
    async def one(scheme: Scheme) -> None:
        async with camera(user="u", password="p", auth=scheme, nonce_lifetime=0.5) as peer:
            assert (await start(api, peer.login_url, scheme)).status == 200

    await asyncio.gather(one("basic"), one("digest"), one("digest-any"))


async def test_C12_a_login_by_sha_256_alone_opens_too(tmp_path: Path) -> None:
    login: dict[str, Any] = {"user": "u", "password": "p@:/%", "auth": "digest-sha256", "nonce_lifetime": 0.5}
    # A TEARDOWN is refused for its stale nonce, and repeated: a slow machine needs longer for that than a cancel has.
    async with gateway(tmp_path, jobs_cancel_grace=5) as api, camera(**login, session_timeout=3) as peer:
        opened = await start(api, peer.login_url)
        assert opened.status == 200, opened.body
        assert (await start(api, peer.login_url + "?n=2", "datagrams", transport="udp")).status == 200
        await media(api, 4.0)  # with keep-alives whose nonces are stale
        assert (await record(api))["restarts"] == 0
        await api.post("/rtsp/terminate", {"localStreamName": "cam"})
        await until(lambda: peer.teardowns == 1)
        peer.refuse_auth()
        refused = await start(api, peer.login_url + "?n=3", "refused")
        assert (refused.status, refused.body["code"]) == (502, "source-auth-failed")


async def test_C13_a_strange_password_opens_and_is_nowhere_to_be_read(
    api: Api, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "Canary@:/%#?ü€"
    forms = (canary, quote(canary, safe=""), quote(canary), "Canary@", "Canary%40")
    events: list[bytes] = []
    listening = asyncio.create_task(_listen(api, events))
    async with camera(user="ad@min", password=canary) as peer:
        opened = await start(api, peer.login_url + "?token=Canary@token")
        assert opened.status == 200, opened.body
        assert opened.body["hasCredentials"]
        assert opened.body["uri"] == f"{peer.url}?token=***"
        seen = [json.dumps(opened.body, ensure_ascii=False), _command_lines()]
        stream = api.gateway.catalog.by_id(opened.body["id"])
        assert stream is not None
        os.kill(await only_worker(api.gateway.workers), signal.SIGSEGV)
        await until(lambda: stream.record()["lastError"] is not None)
        assert stream.record()["lastError"]["code"] == "worker-crashed"
        await until(lambda: stream.status == "LIVE")
        peer.refuse_auth()
        peer.drop()
        await until(lambda: "source-auth" in stream.record()["lastError"]["code"])
        seen.append((await api.get("/metrics")).body.decode())
        assert "gateway_jobs_accepted_total" in seen[-1]
        await until(lambda: b"WAITING" in b"".join(events))
        seen.append(b"".join(events).decode())
        listening.cancel()
        answers = [(await api.get(f"/rest-api/v3/{family}/find_all")).body for family in ("rtsp", "jobs")]
        seen.append(json.dumps(answers, ensure_ascii=False))
    await api.gateway.store.flush()
    files = [path for path in api.gateway.settings.data_dir.rglob("*") if path.is_file()]
    stored = [path.read_bytes() for path in files if path.name != "reelgate.key"]
    seen += [data.decode("latin-1") for data in stored] + [data.decode(errors="replace") for data in stored]
    out, err = capfd.readouterr()
    seen += [out, err, caplog.text, *(str(vars(entry)) for entry in caplog.records)]
    for text in seen:
        assert not any(form in text for form in forms)


async def _listen(api: Api, events: list[bytes]) -> None:
    """What `/events` tells, as it comes."""
    async with api.session.get(f"{api.gateway.url}/rest-api/v3/events") as response:
        while data := await response.content.readany():
            events.append(data)


def _command_lines() -> str:
    """What `ps` shows of every process: arguments and environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found += [(entry / name).read_bytes().decode(errors="replace") for name in ("cmdline", "environ")]
            except OSError:
                continue
    return "\n".join(found)


async def test_C14_404_454_503_453(api: Api) -> None:
    expected = {404: "source-not-found", 454: "source-protocol-error", 503: "source-busy", 453: "source-busy"}
    for status, code in expected.items():
        async with camera(f"answer=DESCRIBE:{status}") as peer:
            told = await start(api, peer.url)
            assert (told.status, told.body["code"], told.body["phase"]) == (502, code, "describing"), status
    async with camera("limit_sessions=0") as peer:
        told = await start(api, peer.url)
        assert (told.body["code"], told.body["phase"]) == ("source-busy", "setup")


async def test_a_camera_that_is_still_busy_with_the_preflight_is_asked_again(api: Api) -> None:
    async with camera() as behind:
        described = 0

        def stepwise(asked: Asked) -> bytes:
            nonlocal described
            described += asked.method == "DESCRIBE"
            if asked.method != "DESCRIBE" or described == 1:
                return healthy(asked)
            return answer(asked, 503) if described == 2 else answer(asked, 302, [f"Location: {behind.url}"])

        async with peer_that(stepwise) as peer:
            told = await start(api, f"rtsp://127.0.0.1:{peer.port}/cam")
        assert (told.status, described) == (200, 3), told.body


@pytest.mark.parametrize("how", ["nothing", "metadata", "backchannel"])
async def test_C16_a_description_without_a_picture_is_no_media(api: Api, how: str) -> None:
    async with camera(f"describe={how}") as peer:
        told = await start(api, peer.url)
        assert (told.status, told.body["code"], told.body["phase"]) == (422, "source-no-media", "describing")


async def test_C23_no_parameters_anywhere_is_told(api: Api) -> None:
    async with camera("no_parameters") as peer:
        told = await start(api, peer.url)
        assert (told.status, told.body["code"]) == (422, "source-no-parameters")


async def test_C37_a_job_cancelled_in_any_phase_leaves_nothing(api: Api) -> None:
    await start(api, "rtsp://127.0.0.1:9/warm-up", "warm")
    faults = {"options": "silent=OPTIONS", "describing": "silent=DESCRIBE", "setup": "silent=SETUP"}
    faults |= {"playing": "no_rtp", "waiting-keyframe": "garble"}
    for phase, fault in faults.items():
        limit = (0.1 if phase in ("options", "describing", "setup") else 0.5) if SOAK else 1.5
        # A machine with other work may be late now and then, a fault of ours would be there each time.
        took = [await _cancelled(api, phase, fault)]
        while took[-1] >= limit and len(took) < 5:
            took.append(await _cancelled(api, phase, fault))
        assert took[-1] < limit, (phase, took)


async def _cancelled(api: Api, phase: str, fault: str) -> float:
    """Seconds from the wish to cancel a job in that phase until its worker and the camera's connection are gone."""
    loop = asyncio.get_running_loop()
    async with camera(fault) as peer:
        files = open_files()
        told = await start(api, peer.url, prefer="wait=0, timeout=20")
        job = api.gateway.supervisor.get(told.body["id"])
        assert job is not None
        await until(lambda: api.gateway.supervisor.records.of(job)["stage"] == phase)
        began = loop.time()
        asked = asyncio.create_task(api.post("/jobs/terminate", {"id": told.body["id"]}))
        await until(lambda: api.gateway.workers.alive == 0)
        async with asyncio.timeout(15):
            await peer.until_empty()
        took = loop.time() - began
        await asked
        await clean(api, files)
        return took


async def test_C43_a_camera_of_jpegs_for_which_there_is_no_room_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with gateway(tmp_path, transcode_cores=0.001) as api, camera(clip={"codec": "mjpeg"}) as peer:
        told = await start(api, peer.url)
        assert (told.status, told.body["code"], told.body["phase"]) == (503, "capacity-exceeded", "waiting-keyframe")
        assert int(told.headers["Retry-After"]) > 0
        assert "transcode_cores" in told.body["detail"]
        assert api.gateway.calibration.capacity.used == 0
        async with asyncio.timeout(15):
            await peer.until_empty()


async def test_C44_a_sloppy_description_opens(api: Api) -> None:
    async def one(how: str) -> None:
        async with camera(f"describe={how}") as peer:
            assert (await start(api, peer.url, how)).status == 200, how

    await asyncio.gather(*map(one, ("sloppy", "latin1", "absolute_control", "bad_sprop", "bad_rtpmap", "no_sprop")))


async def test_C44_oddities_become_warnings(api: Api) -> None:
    async with camera("describe=bad_sprop") as peer:
        await start(api, peer.url)
        assert "camera-odd" in await warnings(api)


async def test_C46_denied_addresses_are_refused_and_a_late_redirect_too(api: Api) -> None:
    for url in ("rtsp://169.254.169.254/live", "rtsp://0.0.0.0/live", "rtsp://[::ffff:169.254.169.254]/live"):
        told = await start(api, url)
        assert (told.status, told.body["code"], told.body["phase"]) == (403, "source-forbidden", "resolving")
    async with peer_that(redirect_to("rtsp://169.254.169.254/latest")) as peer:
        told = await start(api, f"rtsp://127.0.0.1:{peer.port}/")
        assert told.body["code"] == "source-forbidden"
    async with camera(host="127.0.0.2") as elsewhere, camera(f"redirect={elsewhere.url}") as peer:
        # Without a preflight it is FFmpeg that follows the redirect, to an address that nobody has checked.
        told = await start(api, peer.url, preflight=False)
        assert (told.body["code"], told.body["phase"]) == ("source-forbidden", "setup")
        assert elsewhere.connects == 0
    async with camera(host="127.0.0.2") as elsewhere, camera(user="u", password="p", auth="digest-sha256") as peer:
        # The relay stops at a redirect that comes only after the preflight.
        peer.delay("DESCRIBE", 0.2)
        waiting = asyncio.create_task(start(api, peer.login_url))
        await until(lambda: [seen.method for seen in peer.requests].count("DESCRIBE") == 3)
        peer.redirect(elsewhere.url)
        told = await waiting
        assert (told.body["code"], told.body["phase"]) == ("source-forbidden", "setup")
        assert elsewhere.connects == 0


async def test_a_camera_that_dislikes_the_preflight_can_do_without(api: Api) -> None:
    async with camera() as peer:
        assert (await start(api, peer.url, preflight=False)).status == 200
        assert [seen.method for seen in peer.requests][:2] == ["OPTIONS", "DESCRIBE"]
        assert peer.connects == 1
    async with peer_that(lambda asked: answer(asked, 404) if asked.method == "DESCRIBE" else healthy(asked)) as gone:
        told = await start(api, f"rtsp://127.0.0.1:{gone.port}/", "other", preflight=False)
        assert told.body["code"] == "source-not-found"
