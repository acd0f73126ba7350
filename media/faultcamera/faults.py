"""What a camera can do wrong: the verbs, their state, and the table that names them for the command line."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

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
    "sloppy",
    "latin1",
    "absolute_control",
    "bad_rtpmap",
)


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

    def stall(self) -> None:
        """Stop RTP and RTCP, keep every connection and go on answering requests."""
        self.stalled = True

    def no_rtp(self) -> None:
        """Answer PLAY and send nothing after it; a stall that is there before the client."""
        self.stalled = True

    def resume(self) -> None:
        """End a stall: clients go on at the next key frame, on the camera's clock."""
        self.stalled = False

    def mute_audio(self) -> None:
        """Declare the audio track and never send it."""
        self.muted = True

    def unmute_audio(self) -> None:
        """Send the audio track again."""
        self.muted = False

    def change_size(self) -> None:
        """Switch to pictures of half the width and height, and back when done again, at the next key frame."""
        self.resized = not self.resized

    def describe(self, how: str) -> None:
        """Answer DESCRIBE with an odd description: `no_sprop`, `metadata`, `nothing` and others (see the reference)."""
        if how not in DESCRIPTIONS:
            raise ValueError(f"description {how!r}: must be one of {', '.join(DESCRIPTIONS)}")
        self.description = how

    def no_parameters(self) -> None:
        """Send no SPS, PPS or VPS with the pictures, and leave them out of the description."""
        self.without_parameters = True

    def no_keyframes(self) -> None:
        """Send every picture but key frames, as a camera does whose GOP never ends."""
        self.without_keys = True

    def garble(self) -> None:
        """Fill the payload of every RTP packet with random bytes."""
        self.garbled = True

    def redirect(self, url: str) -> None:
        """Answer DESCRIBE with 302 and this address."""
        if not url.startswith(("rtsp://", "rtsps://")):
            raise ValueError(f"address {url!r}: must begin with rtsp:// or rtsps://")
        self.redirection = url

    def drip(self, seconds: float) -> None:
        """Send answers byte by byte, so many seconds apart."""
        self.drip_pause = _seconds(seconds, 0, 60)

    def linger(self) -> None:
        """Keep the session of a client that is gone without TEARDOWN until the session timeout."""
        self.lingering = True

    def lose(self, percent: float) -> None:
        """Lose so many of a hundred RTP packets that go by UDP."""
        self.loss = _percent(percent)

    def duplicate(self, percent: float) -> None:
        """Send so many of a hundred RTP packets that go by UDP twice."""
        self.duplicates = _percent(percent)

    def reorder(self) -> None:
        """Swap every tenth RTP packet that goes by UDP with the next one."""
        self.reordering = True

    def refuse_auth(self) -> None:
        """Answer 401 to every request but OPTIONS, also to the right password."""
        self.refusing_auth = True

    def silent(self, method: str) -> None:
        """Accept requests of this method and never answer them."""
        self.silent_on.add(_method(method))

    def delay(self, method: str, seconds: float) -> None:
        """Answer requests of this method so many seconds late."""
        self.delays[_method(method)] = _seconds(seconds, 0, 3600)

    def answer(self, method: str, status: int) -> None:
        """Answer requests of this method with this status instead of doing them."""
        if not 300 <= status <= 599:
            raise ValueError(f"status {status}: must be from 300 to 599")
        self.answers[_method(method)] = status

    def refuse_transport(self, lower: str) -> None:
        """Answer 461 to a SETUP that offers nothing but this: `tcp` or `udp`."""
        if lower not in ("tcp", "udp"):
            raise ValueError(f"transport {lower!r}: must be tcp or udp")
        self.refused_transports.add(lower)

    def limit_sessions(self, limit: int) -> None:
        """Answer 453 to a SETUP that would be one session too many."""
        if limit < 0:
            raise ValueError(f"a limit of {limit} sessions: must not be below 0")
        self.session_limit = limit

    def drop_each(self, seconds: float) -> None:
        """Close each connection so many seconds after its PLAY."""
        self.drop_after = _seconds(seconds, 0, 86_400)

    def jump_clock(self, seconds: float) -> None:
        """Add seconds, or take them away, from all timestamps from now on; sender reports go along."""
        self.clock_offset += _seconds(seconds, -1e6, 1e6)

    def spike_clock(self, seconds: float) -> None:
        """Stamp the next picture so many seconds off, and that one alone."""
        self.clock_spike = _seconds(seconds, -1e6, 1e6)

    def wrap(self, seconds: float) -> None:
        """Let each later client's timestamps pass 2^32, and its sequence numbers 2^16, so many seconds after PLAY."""
        self.wrap_after = _seconds(seconds, 0, 3600)

    def heal(self) -> None:
        """Take every fault back; a clock that jumped stays where it is, as a real one would."""
        for name, value in vars(Faults(clock_offset=self.clock_offset)).items():
            setattr(self, name, value)


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


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r}: must be a whole number") from None


def _method_and(value: str, number: Callable[[str], float]) -> tuple[str, float]:
    name, colon, rest = value.partition(":")
    if not colon:
        raise ValueError(f"{value!r}: must be METHOD:NUMBER")
    return name, number(rest)


def _delay(faults: Faults, value: str) -> None:
    faults.delay(*_method_and(value, _number))


def _answer(faults: Faults, value: str) -> None:
    method, status = _method_and(value, _whole)
    faults.answer(method, int(status))


@dataclass(frozen=True)
class Verb:
    """One fault as it is written down: `NAME` when `value` is empty, else `NAME=value`."""

    name: str
    value: str
    apply: Callable[[Faults, str], None]
    text: str


def _plain(function: Callable[[Faults], None]) -> Verb:
    return Verb(function.__name__, "", lambda faults, _: function(faults), function.__doc__ or "")


VERBS: Final = (
    _plain(Faults.stall),
    _plain(Faults.no_rtp),
    _plain(Faults.resume),
    _plain(Faults.mute_audio),
    _plain(Faults.unmute_audio),
    _plain(Faults.refuse_auth),
    Verb("silent", "METHOD", Faults.silent, Faults.silent.__doc__ or ""),
    Verb("delay", "METHOD:SECONDS", _delay, Faults.delay.__doc__ or ""),
    Verb("answer", "METHOD:STATUS", _answer, Faults.answer.__doc__ or ""),
    Verb("refuse_transport", "tcp|udp", Faults.refuse_transport, Faults.refuse_transport.__doc__ or ""),
    Verb("limit_sessions", "N", lambda f, v: f.limit_sessions(_whole(v)), Faults.limit_sessions.__doc__ or ""),
    Verb("drop_each", "SECONDS", lambda f, v: f.drop_each(_number(v)), Faults.drop_each.__doc__ or ""),
    Verb("jump_clock", "SECONDS", lambda f, v: f.jump_clock(_number(v)), Faults.jump_clock.__doc__ or ""),
    Verb("spike_clock", "SECONDS", lambda f, v: f.spike_clock(_number(v)), Faults.spike_clock.__doc__ or ""),
    Verb("wrap", "SECONDS", lambda f, v: f.wrap(_number(v)), Faults.wrap.__doc__ or ""),
    _plain(Faults.change_size),
    Verb("describe", "HOW", Faults.describe, Faults.describe.__doc__ or ""),
    _plain(Faults.no_parameters),
    _plain(Faults.no_keyframes),
    _plain(Faults.garble),
    Verb("redirect", "URL", Faults.redirect, Faults.redirect.__doc__ or ""),
    Verb("drip", "SECONDS", lambda f, v: f.drip(_number(v)), Faults.drip.__doc__ or ""),
    _plain(Faults.linger),
    Verb("lose", "PERCENT", lambda f, v: f.lose(_number(v, "a percentage")), Faults.lose.__doc__ or ""),
    Verb("duplicate", "PERCENT", lambda f, v: f.duplicate(_number(v, "a percentage")), Faults.duplicate.__doc__ or ""),
    _plain(Faults.reorder),
    _plain(Faults.heal),
)
FAULTS: Final = {verb.name: verb for verb in VERBS}


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
