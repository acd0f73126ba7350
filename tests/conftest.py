"""What all tests share: who may be skipped, and that a skip in CI is a failure."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.api import Api
from tests.support.conforming import judge_every_answer
from tests.support.torture_cameras import gateway

IN_CI = os.environ.get("CI") == "true"
SOAK = os.environ.get("REELGATE_SOAK") == "1"


@cache
def missing() -> str:
    """The Debian packages that are not there, in words; "" when all are."""
    tools = {"curl": "curl", "jq": "jq"}
    tools |= {
        "ffmpeg": "ffmpeg",
        "ffprobe": "ffmpeg",
        "chromium": "chromium",
        "gst-launch-1.0": "gstreamer1.0-tools",
        "npm": "npm",
        "nginx": "nginx",
        "varnishd": "varnish",
        "haproxy": "haproxy",
        "apache2": "apache2-bin",
        "caddy": "caddy",
    }
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    absent = {package for tool, package in tools.items() if shutil.which(tool, path=path) is None}
    code = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    python = Path("/usr/bin/python3")
    if not python.exists() or subprocess.run([python, "-c", code], capture_output=True, check=False).returncode:
        absent |= {"python3-gi", "gir1.2-gst-rtsp-server-1.0"}
    return ", ".join(sorted(absent))


def pytest_configure(config: pytest.Config) -> None:
    """No loop is left over from plugins: nobody closes it, and a later test would be blamed for that.

    How long an example takes says something about the machine, not about what is tested; new examples are for `make
    soak`. Answers are checked wherever they are asked for.
    """
    del config
    judge_every_answer()
    slow = [HealthCheck.too_slow]
    settings.register_profile(
        "any-machine", deadline=None, suppress_health_check=slow, derandomize=not SOAK, database=None
    )
    settings.load_profile("any-machine")
    asyncio.set_event_loop(None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need Debian's packages are skipped without them; long ones are run by `make soak` alone."""
    for item in list(items):
        if item.get_closest_marker("debian") and missing():
            item.add_marker(pytest.mark.skip(reason=f"install as root: apt-get install {missing()}"))
    if not SOAK:
        long = [item for item in items if item.get_closest_marker("soak")]
        if long:
            config.hook.pytest_deselected(items=long)
            items[:] = [item for item in items if item not in long]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skip says that something was not tested: in CI that is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if reporter and IN_CI and skipped and exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} skipped in CI: that is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def gateway_here(tmp_path: Path) -> AbstractAsyncContextManager[Api]:
    """The gateway of the fixture `api`: with empty folders. Tests that need another one have a fixture of this name."""
    return gateway(tmp_path)


@pytest.fixture
async def api(gateway_here: AbstractAsyncContextManager[Api]) -> AsyncIterator[Api]:
    """A client of `gateway_here`, which runs as long as the test."""
    async with gateway_here as running:
        yield running
