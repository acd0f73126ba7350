"""Addresses that never answer: one that swallows packets, and one that takes connections and keeps silent."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def black_hole() -> Iterator[int]:
    """Gives the port, on 127.0.0.1; whoever connects there hears nothing, not even a refusal."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # the first ones fill the queue; the rest hang in connecting, as everybody after them will
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            assert filler.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
        yield listener.getsockname()[1]


@contextmanager
def silent_camera() -> Iterator[str]:
    """The address of a camera that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/dark"
