"""The Prefer header: what each sort of value means, and what holds for any header at all."""

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prefer import PreferLimits, parse, strict

LIMITS = PreferLimits(max_wait=5, max_timeout=60)

VECTORS: list[tuple[list[str], int, int, str, str]] = [
    # lines, wait, timeout, applied with 200, applied with 202
    ([], 5, 60, "", ""),
    ([""], 5, 60, "", ""),
    (["respond-async, wait=3, timeout=10"], 3, 10, "wait=3, timeout=10", "respond-async, wait=3, timeout=10"),
    (["respond-async", "wait=3", "timeout=10"], 3, 10, "wait=3, timeout=10", "respond-async, wait=3, timeout=10"),
    (["timeout=10, respond-async", "wait=3"], 3, 10, "wait=3, timeout=10", "respond-async, wait=3, timeout=10"),
    (["RESPOND-ASYNC, Wait=3"], 3, 60, "wait=3", "respond-async, wait=3"),
    (["respond-async"], 5, 60, "", "respond-async"),
    (["wait=0"], 0, 60, "wait=0", "wait=0"),
    (["wait=6"], 5, 60, "wait=5", "wait=5"),
    (["wait=99999999999999999999"], 5, 60, "wait=5", "wait=5"),
    (["wait=" + "9" * 5000], 5, 60, "wait=5", "wait=5"),
    (["timeout=61"], 5, 60, "timeout=60", "timeout=60"),
    (["wait=003"], 3, 60, "wait=3", "wait=3"),
    (["wait=" + "0" * 5000 + "3"], 3, 60, "wait=3", "wait=3"),
    *[
        ([f"wait={bad}"], 5, 60, "", "")
        for bad in ("-1", "+3", "3.5", "1e1", "0x3", "abc", "\u0663", "\u00b2", "1_0", '" 3"', '"3', "3 4", "=3")
    ],
    (["wait"], 5, 60, "", ""),
    (["wait="], 5, 60, "", ""),
    (['wait=""'], 5, 60, "", ""),
    (['wait="3"'], 3, 60, "wait=3", "wait=3"),
    (["wait = 3"], 3, 60, "wait=3", "wait=3"),
    (["wait\t=\t3\t"], 3, 60, "wait=3", "wait=3"),
    (["timeout=0"], 5, 60, "", ""),
    (["timeout=00"], 5, 60, "", ""),
    (["wait=1, wait=4"], 1, 60, "wait=1", "wait=1"),
    (["wait=abc, wait=2"], 5, 60, "", ""),
    (["timeout=0, timeout=9"], 5, 60, "", ""),
    (["timeout=2, wait=4"], 4, 2, "wait=4, timeout=2", "wait=4, timeout=2"),
    (["respond-async; wait=3; timeout=10"], 5, 60, "", "respond-async"),
    (["wait=3; foo=bar"], 3, 60, "wait=3", "wait=3"),
    (["wait=3;"], 3, 60, "wait=3", "wait=3"),
    (['foo="a, wait=1", wait=2'], 2, 60, "wait=2", "wait=2"),
    (['foo="a\\", wait=1", wait=2'], 2, 60, "wait=2", "wait=2"),
    ([",,, ,wait=2,,"], 2, 60, "wait=2", "wait=2"),
    (["=3, wait=2"], 2, 60, "wait=2", "wait=2"),
    (["bogus, wait=2"], 2, 60, "wait=2", "wait=2"),
    (["respond-async=1"], 5, 60, "", ""),
    (['respond-async=""'], 5, 60, "", "respond-async"),
    (["handling=strict, wait=junk"], 5, 60, "handling=strict", "handling=strict"),
    (["handling=LENIENT, wait=1"], 1, 60, "wait=1, handling=lenient", "wait=1, handling=lenient"),
    (["handling=strict, handling=lenient"], 5, 60, "", ""),
    (["handling=junk, handling=strict"], 5, 60, "", ""),
    (["return=minimal, wait=1"], 1, 60, "wait=1", "wait=1"),
]


@pytest.mark.parametrize(("lines", "wait", "timeout", "with_200", "with_202"), VECTORS)
def test_every_vector_of_2_6(lines: list[str], wait: int, timeout: int, with_200: str, with_202: str) -> None:
    read = parse(lines, LIMITS)
    assert (read.wait, read.timeout) == (wait, timeout)
    assert read.applied(responding_202=False) == with_200
    assert read.applied(responding_202=True) == with_202


def test_a_method_without_a_job_reads_the_handling_alone() -> None:
    assert strict(["wait=600", "Handling=Strict"])
    assert not strict(["handling=strict, handling=lenient"])
    assert not strict([])


def test_handling_is_told_apart() -> None:
    assert parse(["handling=Strict"], LIMITS).handling == "strict"
    assert parse(['handling="lenient"'], LIMITS).handling == "lenient"
    assert parse(["handling"], LIMITS).handling is None


def test_defaults_below_the_maximum_hold_for_what_is_omitted_or_unusable() -> None:
    limits = PreferLimits(max_wait=30, max_timeout=600, default_wait=2, default_timeout=20)
    assert (parse([], limits).wait, parse([], limits).timeout) == (2, 20)
    assert (parse(["wait=x, timeout=0"], limits).wait, parse(["wait=x, timeout=0"], limits).timeout) == (2, 20)
    assert (parse(["wait=31, timeout=601"], limits).wait, parse(["timeout=601"], limits).timeout) == (30, 600)


@pytest.mark.parametrize(
    "numbers", [(5, 60, 6, None), (5, 60, None, 61), (5, 60, None, 0), (-1, 60, None, None), (5, 0, None, None)]
)
def test_limits_that_contradict_one_another_are_refused(numbers: tuple[int, int, int | None, int | None]) -> None:
    with pytest.raises(ValueError, match="must be between"):
        PreferLimits(*numbers)


# Pieces that make the scanner's branches likely, beside any text at all.
PIECES = st.sampled_from(
    [
        "wait",
        "timeout",
        "respond-async",
        "handling",
        "=",
        "=",
        ",",
        ",",
        ";",
        '"',
        "\\",
        " ",
        "\t",
        "3",
        "61",
        "0",
        "strict",
    ]
)
HEADERS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map("".join))


@given(st.lists(HEADERS, max_size=4))
def test_prefer_fuzz_never_errors(lines: list[str]) -> None:
    read = parse(lines, LIMITS)
    assert 0 <= read.wait <= 5
    assert 1 <= read.timeout <= 60
    assert read.applied(responding_202=True).isascii()


@given(HEADERS)
def test_several_prefer_lines_equal_one(header: str) -> None:
    assert parse(split_at_commas(header), LIMITS) == parse([header], LIMITS)


def split_at_commas(header: str) -> list[str]:
    """The header cut at every comma that has an even number of (unescaped) quotes before it, found by counting."""
    parts, quotes, at = [""], 0, 0
    while at < len(header):
        step = 2 if header[at] == "\\" and quotes % 2 else 1
        quotes += header[at] == '"'
        if header[at] == "," and quotes % 2 == 0:
            parts.append("")
        else:
            parts[-1] += header[at : at + step]
        at += step
    return parts


@pytest.mark.parametrize(
    "hostile",
    [
        lambda n: 'a="' + '\\"' * n,
        lambda n: '\\"' * n,
        lambda n: '"' * n,
        lambda n: "," * n,
        lambda n: " " * n + "wait",
        lambda n: "wait" + " " * n + "x",
        lambda n: "a=" * n,
        lambda n: "wait=" + "9" * n,
        lambda n: "wait=0," * n,
        lambda n: 'a="",' * n,
        lambda n: ";" * n,
    ],
)
def test_hostile_headers_take_linear_time(hostile: Callable[[int], str]) -> None:
    once, twice = (steps_of(hostile(size)) for size in (1000, 2000))
    assert twice <= 2.2 * once + 50


def steps_of(header: str) -> int:
    """How many lines the scanner executes: a measure of time that no other load on the machine can disturb."""
    steps = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return count

    before = sys.gettrace()
    gc.disable()  # what is collected might have last words of its own
    sys.settrace(count)
    try:
        parse([header], LIMITS)
    finally:
        sys.settrace(before)
        gc.enable()
    return steps
