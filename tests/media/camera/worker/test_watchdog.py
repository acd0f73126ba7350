"""A reader that waits for ever is made to end, and one that does not wait is left alone."""

import threading

import pytest

from media.camera.attempt import HEARTBEAT
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


class Ends:
    """What a reader reads from, and whether it was ended."""

    def __init__(self) -> None:
        self.hung_up = threading.Event()
        self.was_cut = threading.Event()

    def hang_up(self) -> None:
        self.hung_up.set()

    def cut(self) -> None:
        self.was_cut.set()


@pytest.fixture(autouse=True)
def left(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set where the process would have ended; and all is a hundred times as quick."""
    gone = threading.Event()
    monkeypatch.setattr("os._exit", lambda status: gone.set())
    monkeypatch.setattr(watchdog, "EVERY", 0.005)
    return gone


def test_a_time_that_is_over_is_believed_at_the_second_look_and_ends_the_stream() -> None:
    looks = []
    line = Ends()

    def look(now: float) -> None:
        looks.append(now)
        if len(looks) in (1, 3, 5, 6):
            raise OVERDUE

    with Watchdog(Ear(), look, line) as watching:
        assert line.hung_up.wait(LIMIT)
        assert watching.fault is OVERDUE
    assert len(looks) == 6
    assert not line.was_cut.is_set()


def test_a_reader_that_waits_is_made_to_end_when_the_gateway_says_stop() -> None:
    line, channel = Ends(), Ear()
    with Watchdog(channel, lambda now: None, line) as watching:
        channel.say_stop()
        assert line.hung_up.wait(LIMIT)
        assert watching.fault is None


def test_a_reader_that_goes_on_has_the_process_ended_around_it(
    left: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "ENDING", 0.01)
    monkeypatch.setattr(watchdog, "LAST_WORD", 0.01)

    def look(now: float) -> None:
        raise OVERDUE

    channel = Ear()
    with Watchdog(channel, look, Ends()):
        assert left.wait(LIMIT)
    assert channel.heard == [Failed(OVERDUE.code, OVERDUE.phase, OVERDUE.detail)]


def test_a_reader_that_waits_until_it_can_write_is_let_go_and_ends_by_itself(
    left: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "ENDING", 0.01)
    monkeypatch.setattr(watchdog, "LAST_WORD", LIMIT)

    def look(now: float) -> None:
        raise OVERDUE

    line, channel = Ends(), Ear()
    with Watchdog(channel, look, line) as watching:
        assert line.was_cut.wait(LIMIT)
    watching._thread.join(LIMIT)
    assert channel.heard == []
    assert not left.is_set()


def test_the_fault_is_told_before_the_gateway_takes_the_worker_for_hung() -> None:
    every = 0.5  # seconds; the one of the module is another here
    last_stats = 2 * every  # before the second of the two looks that find the time over
    assert last_stats + every + watchdog.ENDING + watchdog.LAST_WORD <= HEARTBEAT - every
