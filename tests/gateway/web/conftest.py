"""Streams without a gateway, and a client of their routes."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from gateway.web.watch.mse import ViewerLimits
from gateway.web.watch.play import PlayLimits
from tests.support.watching import FakeStreams, Server, an_app


@pytest.fixture
def streams() -> FakeStreams:
    return FakeStreams()


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, streams: FakeStreams) -> TestClient[Any, Any]:
    """One who hears soon of what changes: the tick is short."""
    return await aiohttp_client(Server(an_app(streams, PlayLimits(viewer=ViewerLimits(tick=0.05)))))
