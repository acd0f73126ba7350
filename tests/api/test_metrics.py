"""The figures for Prometheus: what is there of streams, and that the dashboard and its rules name nothing else."""

import json
import re
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from gateway.app import Gateway
from gateway.settings import Settings
from tests.support.api import Api
from tests.support.webhook_receiver import SECRET

pytestmark = pytest.mark.media

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
FIGURE = re.compile(r"\bgateway_\w+")


async def test_streams_viewers_and_workers_are_counted_and_the_dashboard_shows_nothing_that_is_not_there(
    settings: Settings,
) -> None:
    hooks = {"webhook_url": ("http://127.0.0.1:9/hooks",), "webhook_secret": (SecretStr(SECRET),)}
    async with Gateway(settings.model_copy(update=hooks)) as gateway, aiohttp.ClientSession() as session:
        api = Api(gateway, session)
        channel = {"uri": "vod-live://short.mp4", "localStreamName": "a", "loop": True}
        assert (await api.post("/vod/startup", channel)).status == 200
        async with session.get(f"{gateway.url}/live/a.mp4"):
            figures = ""
            while 'gateway_viewers{kind="vod"} 1.0' not in figures:
                figures = (await api.get("/metrics")).body.decode()
    assert 'gateway_streams{kind="vod",status="LIVE"} 1.0' in figures
    assert re.search(r"^gateway_workers \d+\.0$", figures, re.MULTILINE)
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", figures, re.MULTILINE))
    there = {name for name, type in types.items() if type != "histogram"}
    there |= {f"{name}_bucket" for name, type in types.items() if type == "histogram"}
    board = json.loads((GUIDE / "grafana.json").read_text())
    shown = {name for panel in board["panels"] for each in panel["targets"] for name in FIGURE.findall(each["expr"])}
    assert len(shown) > 20
    assert shown <= there, shown - there
    named = set(FIGURE.findall((GUIDE / "deploy.md").read_text()))
    assert named
    assert named <= there, named - there


def test_the_dashboard_is_one_that_can_be_imported() -> None:
    board = json.loads((GUIDE / "grafana.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == "${source}"
        assert panel["title"]
        assert panel["description"]
    assert board["templating"]["list"][0]["type"] == "datasource"
