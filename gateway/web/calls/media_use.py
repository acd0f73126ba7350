"""Which files of the media folder are needed, and which are being deleted or replaced at this moment.

Both sides decide on the event loop, so one of them is always the first: a job that was accepted keeps its files from
being deleted, and a deletion that has begun keeps jobs from being accepted.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.jobs.failures import Failure
from gateway.jobs.job import Job
from media.catalog import Catalog
from media.stream import ENDED

SCHEME: Final = "vod-live://"


class MediaUse:
    """`jobs` gives those that have not ended. Files are known by their real paths, as they are in `Draft.files`."""

    def __init__(self, root: Path, catalog: Catalog, jobs: Callable[[], Iterable[Job]] = tuple) -> None:
        self._root = root.resolve()
        self._catalog = catalog
        self._jobs = jobs
        self._changing: set[str] = set()

    def check(self, name: str) -> None:
        """Raises `Failure` `file-in-use` when a stream plays the file of that name, or a job is about to."""
        path = str(self._root / name)
        for stream in self._catalog.streams():
            identity = stream.identity
            if stream.status not in ENDED and (path in stream.files or f"{SCHEME}{name}" in identity.uris):
                detail = f"The stream {identity.name!r} plays {name!r}; terminate it first."
                raise Failure("file-in-use", detail, streamId=identity.id)
        for job in self._jobs():
            if path in job.draft.files:
                detail = f"The job {job.id} is opening {name!r}; try again when it has ended, or cancel it."
                raise Failure("file-in-use", detail, holder=job.id)

    @contextmanager
    def changing(self, name: str) -> Iterator[None]:
        """While the context lasts, no job for the file is accepted.

        Raises `Failure` `file-in-use` or `resource-busy` when the file is needed, or is being changed already.
        """
        self.check(name)
        path = str(self._root / name)
        self.check_still([path])
        self._changing.add(path)
        try:
            yield
        finally:
            self._changing.discard(path)

    def check_still(self, paths: Iterable[str]) -> None:
        """Raises `Failure` `resource-busy` when one of the files is just being deleted or replaced."""
        if not self._changing.isdisjoint(paths):
            raise Failure("resource-busy", "The file is just being deleted or replaced; try again.", retry_after=1)
