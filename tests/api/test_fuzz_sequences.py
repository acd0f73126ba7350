"""Fuzzing by sequences of calls, each of which may change what the next one meets: jobs, streams, files."""

import pytest

from gateway.settings import Settings
from tests.support.fuzzing import camera, fuzz, patient, target
from tests.support.schemathesis_run import Found

__all__ = ["patient"]


async def sequences(settings: Settings, cases: int) -> Found:
    """So many cases in sequences, with words that make calls meet: two names, and things that there are."""
    async with (
        camera() as uri,
        target(settings, source_allow=("127.0.0.1/32",), fault_injection=True) as (gateway, key),
    ):
        words = {
            "vodStartup body.uri": ["vod-live://sample.mp4", "vod-live://short.mp4"],
            "rtspStartup body.uri": [uri],
            "transcoderStartup body.uri": ["transcoder://small"],
            "body.uri": ["vod-live://sample.mp4", uri, "transcoder://small"],
            "body.localStreamName": ["channel", "yard"],
            "body.remoteStreamName": ["channel", "yard"],
            "body.streamName": ["channel", "yard"],
            "body.name": ["channel", "yard"],
            "body.watermark": ["logo.png", "none.png"],
            "path.name": ["short.mp4", "other.mp4"],
            "header.Prefer": ["respond-async, wait=0, timeout=1", "timeout=2"],
            "header.Idempotency-Key": ['"one"', '"two"'],
        }
        return await fuzz(gateway, key, ["stateful"], examples=1000, cases=cases, modes="positive", words=words)


@pytest.mark.media
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("patient")
async def test_thousands_of_calls_in_sequences_are_answered_as_the_document_says(settings: Settings) -> None:
    found = await sequences(settings, 2000)
    assert found.cases >= 2000
    assert found.linked >= 50
    statuses = {status for answers in found.answers.values() for status in answers}
    assert statuses >= {"200", "202", "204", "404", "409"}


@pytest.mark.soak
@pytest.mark.media
@pytest.mark.usefixtures("patient")
async def test_many_more_sequences_are_answered_as_the_document_says(settings: Settings) -> None:
    assert (await sequences(settings, 10_000)).cases >= 10_000
