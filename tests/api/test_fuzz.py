"""Fuzzing by the OpenAPI document: no answer that it does not have, no crash, whatever is sent in one call."""

import pytest

from gateway.settings import Settings
from tests.support.fuzzing import OPERATIONS, fuzz, patient, target

__all__ = ["patient"]

SINGLE = ["examples", "coverage", "fuzzing"]


@pytest.mark.media
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("patient")
async def test_thousands_of_calls_of_all_methods_are_answered_as_the_document_says(settings: Settings) -> None:
    async with target(settings) as (gateway, key):
        found = await fuzz(gateway, key, SINGLE, examples=8)
    assert set(found.answers) == OPERATIONS
    assert found.cases >= 2000


@pytest.mark.soak
@pytest.mark.media
@pytest.mark.usefixtures("patient")
async def test_many_more_calls_are_answered_as_the_document_says(settings: Settings) -> None:
    async with target(settings) as (gateway, key):
        found = await fuzz(gateway, key, SINGLE, examples=100)
    assert set(found.answers) == OPERATIONS
    assert found.cases >= 5000
