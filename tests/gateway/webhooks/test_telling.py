"""What is told to receivers: which events there are, how they are signed, and what may be set."""

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.jobs.state import State
from gateway.settings import Settings
from gateway.webhooks import signature
from gateway.webhooks.types import TYPES, chosen
from media.stream import Status
from tests.support.webhook_receiver import SECRET, signed_right

HOOKS = "https://portal.example/hooks"


def test_every_state_of_a_job_and_every_status_of_a_stream_is_an_event() -> None:
    assert set(TYPES) == {f"job.{each.lower()}" for each in State} | {f"stream.{each.lower()}" for each in Status}


def test_a_setting_names_single_events_families_or_all() -> None:
    assert chosen(["job.done"]) == {"job.done"}
    assert chosen(["stream.*", "job.done"]) == {each for each in TYPES if each.startswith("stream")} | {"job.done"}
    assert chosen(["*"]) == set(TYPES)
    assert chosen([]) == set()


def test_the_signature_is_that_of_the_scheme() -> None:
    # Computed with OpenSSL: printf 'evt_1.1700000000.{"a":1}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:… -binary
    headers = signature.headers("evt_1", 1_700_000_000, b'{"a":1}', (bytes(range(32)),))
    assert headers == {
        "webhook-id": "evt_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": "v1,hUVxIYXs8Zy9GDiZD1uQbBwXoZGMAB6RVLdZZ3ffmek=",
    }


def test_while_a_secret_is_replaced_both_sign() -> None:
    other = signature.made()
    keys = tuple(signature.secret_bytes(each) for each in (SECRET, other))
    headers = signature.headers("evt_1", 1_700_000_000, b"{}", keys)
    assert signed_right(headers, b"{}", SECRET)
    assert signed_right(headers, b"{}", other)
    assert not signed_right(headers, b"{}", signature.made())
    assert not signed_right(headers, b"{} ", SECRET)
    assert not signed_right({**headers, "webhook-timestamp": "1700000001"}, b"{}", SECRET)


@pytest.mark.parametrize("size", [0, 23, 65])
def test_a_secret_is_of_24_to_64_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="24 to 64 random bytes"):
        signature.secret_bytes("whsec_" + base64.b64encode(bytes(size)).decode())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"webhook_url": HOOKS}, "webhook_url needs a webhook_secret"),
        ({"webhook_url": "ftp://portal.example/x", "webhook_secret": SECRET}, "address 1 must be as https://"),
        ({"webhook_url": f"{HOOKS}, portal", "webhook_secret": SECRET}, "address 2 must be as https://"),
        ({"webhook_url": "https://me:hidden@portal.example", "webhook_secret": SECRET}, "must not hold a user"),
        ({"webhook_secret": "whsec_aGlkZGVu"}, "random bytes"),
        ({"webhook_secret": "hidden"}, "random bytes"),
        ({"webhook_events": "job.done, job.over"}, "'job.over' names no event"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_without_being_quoted(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(values)
    (reason,) = [each["msg"] for each in refused.value.errors()]
    assert said in reason
    assert "hidden" not in reason
    assert "aGlkZGVu" not in reason


def test_the_secret_is_not_shown_where_the_settings_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEBHOOK_URL", f"{HOOKS}, {HOOKS}, {HOOKS}/two")
    monkeypatch.setenv("WEBHOOK_SECRET", f"{SECRET}, {signature.made()}")
    settings = Settings()
    assert settings.webhook_url == (HOOKS, f"{HOOKS}/two")
    assert len(settings.webhook_secret) == 2
    assert SECRET.removeprefix("whsec_") not in repr(settings)
