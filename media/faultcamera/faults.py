"""What a camera can do wrong: the verbs, their state, and the table that names them for the command line."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

METHODS: Final = (
    "OPTIONS",
    "DESCRIBE",
    "SETUP",
    "PLAY",
    "PAUSE",
    "GET_PARAMETER",
    "SET_PARAMETER",
    "TEARDOWN",
)


# What `describe` can make of a description; media.faultcamera.rtsp.sdp does it.
DESCRIPTIONS: Final = (
    "no_sprop",
    "bad_sprop",
    "no_config",
    "nothing",
    "metadata",
    "backchannel",
    "latin1",
    "sloppy",
    "absolute_control",
    "bad_rtpmap",
    "loudspeaker",
    "null_audio",
)


def _seconds(seconds: float, least: float, most: float) -> float:
    if not least <= seconds <= most:  # also refuses what is not a number
        raise ValueError(f"{seconds} seconds: must be from {least:g} to {most:g}")
    return seconds


def _percent(percent: float) -> float:
    if not 0 <= percent <= 100:  # also refuses what is not a number
        raise ValueError(f"{percent} %: must be from 0 to 100")
    return percent


def _method(name: str) -> str:
    if name.upper() not in METHODS:
        raise ValueError(f"method {name!r}: must be one of {', '.join(METHODS)}")
    return name.upper()


def _number(text: str, what: str = "a number of seconds") -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r}: must be {what}") from None


def _percentage(text: str) -> float:
    return _number(text, "a percentage")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r}: must be a whole number") from None


@dataclass(frozen=True)
class Verb:
    """One fault as it is written down: `NAME` when `value` is empty, else `NAME=value`."""

    name: str
    value: str
    apply: Callable[["Faults", str], None]
    text: str


FAULTS: Final[dict[str, Verb]] = {}

Method = TypeVar("Method", bound=Callable[..., None])


def verb(value: str = "", *read: Callable[[str], Any]) -> Callable[[Method], Method]:
    """Makes a method of `Faults` a fault that can be named on the command line; its docstring is its description.

    `value` is how its argument is written down. `read` turns the text into the argument; two of them are for
    `METHOD:NUMBER`. Without any the text itself is the argument.
    """

    def enter(method: Method) -> Method:
        def apply(faults: "Faults", text: str) -> None:
            readers = list(read) or [str]
            parts = text.split(":", 1) if len(readers) > 1 else [text]
            if len(parts) != len(readers):
                raise ValueError(f"{text!r}: must be METHOD:NUMBER")
            method(faults, *(reads(part) for reads, part in zip(readers, parts, strict=True) if value))

        FAULTS[method.__name__] = Verb(method.__name__, value, apply, method.__doc__ or "")
        return method

    return enter


@dataclass
class Faults:
    """The faults in force. The verbs set them and may be called at any time; the camera looks before each step."""

    stalled: bool = False
    muted: bool = False
    refusing_auth: bool = False
    silent_on: set[str] = field(default_factory=set)
    delays: dict[str, float] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    refused_transports: set[str] = field(default_factory=set)
    session_limit: int | None = None
    drop_after: float | None = None
    wrap_after: float | None = None
    clock_offset: float = 0.0
    clock_spike: float = 0.0
    resized: bool = False
    description: str = ""
    without_parameters: bool = False
    without_keys: bool = False
    garbled: bool = False
    redirection: str = ""
    drip_pause: float | None = None
    lingering: bool = False
    loss: float = 0.0
    duplicates: float = 0.0
    reordering: bool = False
    sound_status: int = 0
    short_length: bool = False
    small_letters: bool = False
    play_created: bool = False
    sound_misplaced: float = 0.0
    hold: float | None = None

    @verb()
    def stall(self) -> None:
        """Stop RTP and RTCP, keep every connection and go on answering requests."""
        self.stalled = True

    @verb()
    def no_rtp(self) -> None:
        """Answer PLAY and send nothing after it; a stall that is there before the client."""
        self.stalled = True

    @verb()
    def resume(self) -> None:
        """End a stall: clients go on at the next key frame, on the camera's clock."""
        self.stalled = False

    @verb()
    def mute_audio(self) -> None:
        """Declare the audio track and never send it."""
        self.muted = True

    @verb()
    def unmute_audio(self) -> None:
        """Send the audio track again."""
        self.muted = False

    @verb()
    def refuse_auth(self) -> None:
        """Answer 401 to every request but OPTIONS, also to the right password."""
        self.refusing_auth = True

    @verb("METHOD")
    def silent(self, method: str) -> None:
        """Accept requests of this method and never answer them."""
        self.silent_on.add(_method(method))

    @verb("METHOD:SECONDS", str, _number)
    def delay(self, method: str, seconds: float) -> None:
        """Answer requests of this method so many seconds late."""
        self.delays[_method(method)] = _seconds(seconds, 0, 3600)

    @verb("METHOD:STATUS", str, _whole)
    def answer(self, method: str, status: int) -> None:
        """Answer requests of this method with this status instead of doing them."""
        if not 300 <= status <= 599:
            raise ValueError(f"status {status}: must be from 300 to 599")
        self.answers[_method(method)] = status

    @verb("tcp|udp")
    def refuse_transport(self, lower: str) -> None:
        """Answer 461 to a SETUP that offers nothing but this: `tcp` or `udp`."""
        if lower not in ("tcp", "udp"):
            raise ValueError(f"transport {lower!r}: must be tcp or udp")
        self.refused_transports.add(lower)

    @verb("STATUS", _whole)
    def refuse_sound(self, status: int) -> None:
        """Answer a SETUP of sound with this status, as a microphone does that is switched off."""
        if not 300 <= status <= 599:
            raise ValueError(f"status {status}: must be from 300 to 599")
        self.sound_status = status

    @verb("SECONDS", _number)
    def misplace_sound(self, seconds: float) -> None:
        """Say in RTP-Info and sender reports that the sound is so many seconds later than it is."""
        self.sound_misplaced = _seconds(seconds, -86_400, 86_400)

    @verb()
    def play_201(self) -> None:
        """Answer PLAY with 201 Created and play."""
        self.play_created = True

    @verb()
    def miscount(self) -> None:
        """Leave the last line end of a description out of its Content-Length."""
        self.short_length = True

    @verb()
    def small_algorithm(self) -> None:
        """Write the algorithm of a Digest challenge in small letters (`md5`)."""
        self.small_letters = True

    @verb("SECONDS", _number)
    def hold_on(self, seconds: float) -> None:
        """Close at once every connection beside the first; one that is gone counts so many seconds longer."""
        self.hold = _seconds(seconds, 0, 60)

    @verb("N", _whole)
    def limit_sessions(self, limit: int) -> None:
        """Answer 453 to a SETUP that would be one session too many."""
        if limit < 0:
            raise ValueError(f"a limit of {limit} sessions: must not be below 0")
        self.session_limit = limit

    @verb("SECONDS", _number)
    def drop_each(self, seconds: float) -> None:
        """Close each connection so many seconds after its PLAY."""
        self.drop_after = _seconds(seconds, 0, 86_400)

    @verb("SECONDS", _number)
    def jump_clock(self, seconds: float) -> None:
        """Add seconds, or take them away, from all timestamps from now on; sender reports go along."""
        self.clock_offset += _seconds(seconds, -1e6, 1e6)

    @verb("SECONDS", _number)
    def spike_clock(self, seconds: float) -> None:
        """Stamp the next picture so many seconds off, and that one alone."""
        self.clock_spike = _seconds(seconds, -1e6, 1e6)

    @verb("SECONDS", _number)
    def wrap(self, seconds: float) -> None:
        """Let each later client's timestamps pass 2^32, and its sequence numbers 2^16, so many seconds after PLAY."""
        self.wrap_after = _seconds(seconds, 0, 3600)

    @verb()
    def change_size(self) -> None:
        """Switch to pictures of half the width and height, and back when done again, at the next key frame."""
        self.resized = not self.resized

    @verb("HOW")
    def describe(self, how: str) -> None:
        """Answer DESCRIBE with an odd description: `no_sprop`, `metadata`, `nothing` and others (see the reference)."""
        if how not in DESCRIPTIONS:
            raise ValueError(f"description {how!r}: must be one of {', '.join(DESCRIPTIONS)}")
        self.description = how

    @verb()
    def no_parameters(self) -> None:
        """Send no SPS, PPS or VPS with the pictures, and leave them out of the description."""
        self.without_parameters = True

    @verb()
    def no_keyframes(self) -> None:
        """Send every picture but key frames, as a camera does whose GOP never ends."""
        self.without_keys = True

    @verb()
    def garble(self) -> None:
        """Fill the payload of every RTP packet with random bytes."""
        self.garbled = True

    @verb("URL")
    def redirect(self, url: str) -> None:
        """Answer DESCRIBE with 302 and this address."""
        if not url.startswith(("rtsp://", "rtsps://")):
            raise ValueError(f"address {url!r}: must begin with rtsp:// or rtsps://")
        self.redirection = url

    @verb("SECONDS", _number)
    def drip(self, seconds: float) -> None:
        """Send answers byte by byte, so many seconds apart."""
        self.drip_pause = _seconds(seconds, 0, 60)

    @verb()
    def linger(self) -> None:
        """Keep the session of a client that is gone without TEARDOWN until the session timeout."""
        self.lingering = True

    @verb("PERCENT", _percentage)
    def lose(self, percent: float) -> None:
        """Lose so many of a hundred RTP packets that go by UDP."""
        self.loss = _percent(percent)

    @verb("PERCENT", _percentage)
    def duplicate(self, percent: float) -> None:
        """Send so many of a hundred RTP packets that go by UDP twice."""
        self.duplicates = _percent(percent)

    @verb()
    def reorder(self) -> None:
        """Swap every tenth RTP packet that goes by UDP with the next one."""
        self.reordering = True

    @verb()
    def heal(self) -> None:
        """Take every fault back; a clock that jumped stays where it is, as a real one would."""
        for name, value in vars(Faults(clock_offset=self.clock_offset)).items():
            setattr(self, name, value)


def apply(faults: Faults, text: str) -> None:
    """Does what `NAME` or `NAME=VALUE` says. Raises `ValueError` with the names or the form that would be right."""
    name, equals, value = text.partition("=")
    verb = FAULTS.get(name)
    if verb is None:
        raise ValueError(f"fault {name!r} is not known; there are {', '.join(FAULTS)}")
    if bool(equals) != bool(verb.value):
        raise ValueError(f"fault {text!r}: must be {name}{'=' if verb.value else ''}{verb.value}")
    try:
        verb.apply(faults, value)
    except ValueError as error:
        raise ValueError(f"fault {text!r}: {error}") from error
