"""A process made to be killed: it writes jobs and wanted streams for ever, and prints each id that is on disk."""

import asyncio
import itertools
import sys
from pathlib import Path

from gateway.jobs.job import Record
from gateway.jobs.storage.store import Store


def record_of(job_id: str, revision: int = 1, state: str = "PENDING", kind: str = "sleep") -> Record:
    """A public record with what the store looks at, and without its result."""
    finished = "2001-09-09T01:46:41.000Z" if state in ("DONE", "FAILED", "CANCELLED") else None
    return {
        "id": job_id,
        "kind": kind,
        "state": state,
        "stage": "starting",
        "createdAt": "2001-09-09T01:46:40.000Z",
        "finishedAt": finished,
        "revision": revision,
    }


async def write_for_ever(path: Path) -> None:
    """Each odd job is DONE and has a stream; each even one never ends."""
    store = Store(path)
    await store.open()
    for number in itertools.count():
        job_id = f"{number:032x}"
        store.save_job(record_of(job_id, number, "DONE" if number % 2 else "RUNNING"), b"{}" if number % 2 else None)
        if number % 2:
            store.save_stream(job_id, f"stream {number}", {})
        await store.flush()
        print(job_id, flush=True)


if __name__ == "__main__":
    asyncio.run(write_for_ever(Path(sys.argv[1])))
