"""The ground under asyncio tests."""

import asyncio

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Say that there is no event loop yet.

    Otherwise pytest-asyncio, when a test without a loop came first, makes one to come back to and never closes it; some
    later test is then blamed for the ResourceWarning.
    """
    asyncio.set_event_loop(None)
