"""A worker's end of the socket to the gateway: messages up, the stop flag down."""

import os
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Final

from media.process import messages
from media.process.framing import Decoder, FrameError
from media.process.messages import Message, StartTask, StopTask

SEND_BUFFER: Final = 4 * 1024 * 1024  # bytes: a key frame of a large picture fits without a wait
READ_SIZE: Final = 65536


class GatewaySocket:
    """A worker's socket to the gateway; its calls block. Any thread of the task may `send`; messages are never
    mixed.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._sending = threading.Lock()
        self._incoming = self._messages()
        self.grace = 0.0  # seconds that the end may take, once it was asked for
        self.stopping = False  # True once the gateway has asked for an end: to be looked at between packets
        self._stopping = threading.Event()
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()  # no bound: the sender sends little

    def rest(self, seconds: float) -> bool:
        """Sleeps for so many seconds, or until the gateway asks for an end. Returns whether it has asked."""
        return self._stopping.wait(seconds)

    def start(self) -> StartTask:
        """Waits for the task. Ends the process when none comes. Begins to watch the socket."""
        message = next(self._incoming, None)
        if not isinstance(message, StartTask):
            os._exit(0)
        threading.Thread(target=self._watch, name="watch-gateway", daemon=True).start()
        return message

    def send(self, message: Message) -> None:
        """Hands one message to the gateway; blocks while the socket is full."""
        data = messages.encode(message)
        try:
            with self._sending:
                self._socket.sendall(data)
        except ConnectionError:
            os._exit(0)

    def receive(self, seconds: float) -> Message | None:
        """The next message of the gateway to a task that goes on; None after `seconds` without one, or when it says
        stop.
        """
        try:
            return self._inbox.get(timeout=seconds) if seconds > 0 else self._inbox.get_nowait()
        except queue.Empty:
            return None

    def _watch(self) -> None:
        try:
            for message in self._incoming:
                if isinstance(message, StopTask):
                    self.grace = message.seconds
                    self.stopping = True
                    self._stopping.set()
                    self._inbox.put(None)
                else:
                    self._inbox.put(message)
        finally:  # also when there is no memory to read it into
            os._exit(0)  # the gateway is gone: nothing that this process could finish has a reader

    def _messages(self) -> Iterator[Message]:
        decoder = Decoder()
        while True:
            try:
                data = self._socket.recv(READ_SIZE)
            except ConnectionError:
                return
            if not data:
                return
            try:
                for header, body in decoder.feed(data):
                    yield messages.decode(header, body)
            except FrameError:
                return
