"""Who owns a stream name: the streams that are there, and for a while those that were."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from media.ring import Ring
from media.stream import ENDED, Status, Stream
from media.supervision import noted

log = logging.getLogger(__name__)

REMEMBERED: Final = 600.0  # seconds that a stopped stream is still found by its id
MAX_STOPPED: Final = 1000

StreamListener = Callable[[Stream], None]


class Catalog:
    """Streams by name and by id. `listeners` hear of every stream that is published and of every change of status."""

    def __init__(self) -> None:
        self.listeners: list[StreamListener] = []
        self.leaving = False  # the process ends: what streams there are go on when it is back
        self._named: dict[str, Stream] = {}
        self._by_id: dict[str, Stream] = {}
        self._stopped: dict[str, Stream] = {}
        self._loop = asyncio.get_running_loop()

    def publish(self, stream: Stream) -> None:
        """Gives the stream its name. A failed stream of that name gives way; a living one is an error."""
        name = stream.identity.name
        holder = self._named.get(name)
        if holder is not None:
            if holder.status not in ENDED:
                raise ValueError(f"the stream name {name!r} is taken")
            self._forget_name(holder)
        self._named[name] = stream
        self._by_id[stream.identity.id] = stream
        stream.on_change = self._changed
        self._tell(stream)

    def holder(self, name: str) -> Stream | None:
        """The stream that holds a name and keeps others from it; a failed one does not."""
        stream = self._named.get(name)
        return stream if stream is not None and stream.status not in ENDED else None

    def holder_of_uri(self, uri: str) -> Stream | None:
        """The camera or channel of that address, if it is held."""
        return next((each for each in self.streams() if uri in each.identity.uris and each.status not in ENDED), None)

    def by_id(self, stream_id: str) -> Stream | None:
        """The stream with that id, also one that was stopped within the last ten minutes; None when there is none."""
        return self._by_id.get(stream_id) or self._stopped.get(stream_id)

    def streams(self) -> Iterator[Stream]:
        """All streams that are not stopped, in the order in which they came."""
        return iter(list(self._named.values()))

    def pictures(self) -> set[str]:
        """The hashes of all pictures that a stream needs."""
        return {picture for stream in self.streams() for picture in stream.pictures}

    async def terminate(self, streams: Iterable[Stream]) -> None:
        """Stops these streams, all at the same time. A name is free when everything of its stream is gone."""
        await asyncio.gather(*(self._terminate(stream) for stream in streams))

    async def close(self) -> None:
        """Ends every stream without forgetting that it is wanted."""
        self.leaving = True
        self.listeners.clear()
        await asyncio.gather(*(self._closed(stream) for stream in self.streams()))

    def ring(self, name: str) -> Ring | None:
        """The ring of the stream of that name. A source that rests is woken."""
        ring = self.peek(name)
        if ring is not None:
            self._named[name].demanded()
        return ring

    def comes(self, name: str) -> bool:
        """Whether a living stream has that name, to be seen now or soon."""
        return self.holder(name) is not None

    def peek(self, name: str) -> Ring | None:
        """The ring of the stream of that name, for a look in passing: no source that rests is woken."""
        stream = self._named.get(name)
        return None if stream is None or stream.status is Status.FAILED else stream.ring

    @contextmanager
    def viewer(self, name: str) -> Iterator[None]:
        """Counts one viewer for as long as it lasts."""
        stream = self._named.get(name)
        if stream is None:
            yield
            return
        stream.viewers += 1
        try:
            yield
        finally:
            stream.viewers -= 1

    async def _terminate(self, stream: Stream) -> None:
        await stream.stop()
        if stream.status is Status.FAILED:
            stream.move(Status.STOPPED)
        self._forget_name(stream)

    async def _closed(self, stream: Stream) -> None:
        with noted("stream-stop", stream=stream.identity.id):
            await self._terminate(stream)

    def _forget_name(self, stream: Stream) -> None:
        identity = stream.identity
        if self._named.get(identity.name) is stream:
            del self._named[identity.name]
        if self._by_id.pop(identity.id, None) is None:
            return
        self._stopped[identity.id] = stream
        if len(self._stopped) > MAX_STOPPED:
            self._stopped.pop(next(iter(self._stopped)))
        self._loop.call_later(REMEMBERED, self._stopped.pop, identity.id, None)

    def _changed(self, stream: Stream) -> None:
        if stream.status is Status.STOPPED:
            self._forget_name(stream)
        self._tell(stream)

    def _tell(self, stream: Stream) -> None:
        for listener in list(self.listeners):
            with noted("stream-listener", stream=stream.identity.id):  # a broken listener must not stop a stream
                listener(stream)
