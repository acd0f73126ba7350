"""Tests of media/camera/preflight.py and media/rtsp/wire.py: peers that are silent, talk nonsense, or never stop."""

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from media.camera.preflight import Described
from media.faults import Fault
from media.rtsp.wire import MAX_BODY, MAX_HEADERS, Response, read_answer
from tests.support.camera_peers import (
    SDP,
    Asked,
    Reply,
    Script,
    camera,
    fault_of,
    fault_with,
    go,
    peer_that,
    raw_peer,
    spec_for,
)

SHORT = 1.0  # seconds; for peers that never answer, and enough to come as far as that on a busy machine


async def describe(reply: Reply) -> Described:
    async with peer_that(reply) as peer:
        return await go(spec_for(peer))


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def read_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nX: " + b"y" * 10_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)


def sends(data: bytes) -> Script:
    """Sends one thing, and then nothing."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await reader.read()

    return script


def floods(head: bytes, unit: bytes) -> Script:
    """Sends a head and then `unit` for ever."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(unit)
            await writer.drain()

    return script


@pytest.mark.parametrize("script", [silent, drip, sends(b"RTSP/1.0 200 OK\r\nCSe"), sends(b"$\0\xff\xffabc")])
async def test_a_peer_that_never_finishes_an_answer_times_out_in_options(script: Script) -> None:
    async with raw_peer(script) as peer:
        fault = await fault_of(spec_for(peer, SHORT))
        await peer.gone()
    assert (fault.code, fault.phase) == ("source-timeout", "options")


@pytest.mark.parametrize(
    "script",
    [
        close_at_once,
        read_and_close,
        sends(b"\x15\x03\x01\x00\x02\x02\x46"),
        sends(b"\x00" * 100),
        sends(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        sends(b"SSH-2.0-OpenSSH_9.2\r\n"),
        sends(b"220 ftp ready\r\n"),
        sends(b"RTSP/1.0 abc OK\r\n\r\n"),
        sends(b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n"),
        sends(b"RTSP/1.0 200 OK\r\nContent-Length: 2147483648\r\n\r\n"),
        sends(b"RTSP/1.0 200 OK\r\nContent-Length: 1e3\r\n\r\n"),
        sends(b"RTSP/1.0 200 OK\r\nX: " + b"y" * MAX_HEADERS),
        floods(b"RTSP/1.0 200 OK\r\n", b"X: y\r\n" * 100),
        floods(b"RTSP/1.0 ", b"y" * 1000),
        floods(b"", b"$\0\x10\x00" + b"z" * 4096),
        floods(b"", b"\r\n" * 500),
        floods(b"", b"RTSP/1.0 100 Continue\r\n\r\n" * 50),
        floods(b"", b"SET_PARAMETER rtsp://x/ RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 50),
    ],
)
async def test_a_peer_that_breaks_the_protocol_or_a_limit_is_told_apart_from_silence(script: Script) -> None:
    async with raw_peer(script) as peer:
        fault = await fault_of(spec_for(peer))
        await peer.gone()
    assert (fault.code, fault.phase) == ("source-protocol-error", "options")


async def test_a_describe_that_is_never_answered_times_out_in_describing() -> None:
    fault = await fault_with(lambda asked: camera(asked) if asked.method == "OPTIONS" else None, SHORT)
    assert (fault.code, fault.phase) == ("source-timeout", "describing")


async def test_a_body_is_read_up_to_its_limit_and_not_beyond() -> None:
    padding = b"a=x:" + b"y" * (MAX_BODY - len(SDP) - 4)
    described = await describe(lambda asked: camera(asked, SDP + padding))
    assert len(SDP + padding) == MAX_BODY
    assert len(described.tracks) == 2
    fault = await fault_with(lambda asked: camera(asked, SDP + padding + b"z"))
    assert (fault.code, fault.phase) == ("source-protocol-error", "describing")


async def test_a_body_that_ends_early_is_a_closed_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"RTSP/1.0 200 OK\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"RTSP/1.0 200 OK\r\nContent-Length: 500\r\n\r\nv=0\r\n")
        await writer.drain()

    async with raw_peer(script) as peer:
        fault = await fault_of(spec_for(peer))
    assert (fault.code, fault.phase) == ("source-protocol-error", "describing")
    assert "closed the connection" in fault.detail


@pytest.mark.parametrize(
    "before",
    [b"$\0\0\x04abcd$\1\0\0", b"\r\n\r\n", b"RTSP/1.0 100 Continue\r\n\r\n", b"OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n"],
)
async def test_what_may_stand_before_an_answer_is_skipped(before: bytes) -> None:
    described = await describe(lambda asked: before + camera(asked))
    assert len(described.tracks) == 2


async def test_answers_with_bare_line_feeds_folded_headers_and_a_wrong_cseq_are_read() -> None:
    def sloppy(asked: Asked) -> bytes:
        size = str(len(SDP)).encode()
        return b"rtsp/1.0 200\nCSeq: 77\nServer:\n Old\n Thing\nnonsense\nCONTENT-LENGTH : " + size + b"\n\n" + SDP

    described = await describe(sloppy)
    assert len(described.tracks) == 2
    assert described.server == "Old Thing"


PIECE = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"RTSP/1.0 200 OK\r\n", b"\r\n", b"Content-Length: 3\r\n", b"$\0\0\1", b" x\r\n", b"A B RTSP/1.0\n"]
    ),
)


@given(st.lists(PIECE, max_size=8).map(b"".join))
@example(b"RTSP/1.0 200 OK\r\n folded first\r\n\r\n")
def test_no_bytes_break_the_reading_of_answers(data: bytes) -> None:
    async def read() -> Response:
        reader = asyncio.StreamReader(limit=MAX_HEADERS)
        reader.feed_data(data)
        reader.feed_eof()
        return await read_answer(reader)

    with asyncio.Runner() as runner:
        try:
            answer = runner.run(read())
        except asyncio.IncompleteReadError:
            return
        except Fault as fault:
            code = fault.code
        else:
            code = "" if 200 <= answer.status <= 999 else "no answer"
    assert code in ("", "source-protocol-error")
