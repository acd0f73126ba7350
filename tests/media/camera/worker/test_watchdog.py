"""A reader that waits for ever is made to end, and one that does not wait is left alone."""

import threading

import pytest

from media.camera.worker import watchdog
from media.camera.worker.watchdog import Watchdog
from media.faults import Fault
from media.process.gateway_socket import GatewaySocket
from media.process.messages import Failed, Message

LIMIT = 60.0  # seconds

OVERDUE = Fault("source-timeout", "nothing has come", "live")


class Ear(GatewaySocket):
    """A worker's channel without a socket: a gateway that says stop when it is told to, and hears all."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self.heard: list[Message] = []

    def say_stop(self) -> None:
        self._stopping.set()

    def send(self, message: Message) -> None:
        self.heard.append(message)


@pytest.fixture(autouse=True)
def left(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set where the process would have ended; and all is a hundred times as quick."""
    gone = threading.Event()
    monkeypatch.setattr("os._exit", lambda status: gone.set())
    monkeypatch.setattr(watchdog, "EVERY", 0.005)
    return gone


def test_a_time_that_is_over_is_believed_at_the_second_look_and_ends_the_stream() -> None:
    looks = []
    hung_up = threading.Event()

    def look(now: float) -> None:
        looks.append(now)
        if len(looks) in (1, 3, 5, 6):
            raise OVERDUE

    with Watchdog(Ear(), look, hung_up.set) as watching:
        assert hung_up.wait(LIMIT)
        assert watching.fault is OVERDUE
    assert len(looks) == 6


def test_a_reader_that_waits_is_made_to_end_when_the_gateway_says_stop() -> None:
    hung_up = threading.Event()
    channel = Ear()
    with Watchdog(channel, lambda now: None, hung_up.set) as watching:
        channel.say_stop()
        assert hung_up.wait(LIMIT)
        assert watching.fault is None


def test_a_reader_that_goes_on_has_the_process_ended_around_it(
    left: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LAST_WORD", 0.01)

    def look(now: float) -> None:
        raise OVERDUE

    channel = Ear()
    with Watchdog(channel, look, lambda: None):
        assert left.wait(LIMIT)
    assert channel.heard == [Failed(OVERDUE.code, OVERDUE.phase, OVERDUE.detail)]
