"""A job's record as a row of the store, and back."""

import json
import sqlite3
from typing import Any, Final

from gateway.jobs.job import Claim, Record

Row = dict[str, Any]
LARGEST_LISTED: Final = 64 * 1024  # bytes of a result that is told in lists and events; a larger one has its link
Statement = tuple[str, Row]


def job_row(record: Record, result: bytes | None, claim: Claim | None = None) -> Row:
    """The values of a job's row. `record` has no result; `result` is the serialised result."""
    return {
        "id": record["id"],
        "revision": record["revision"],
        "state": record["state"],
        "kind": record["kind"],
        "created": record["createdAt"],
        "finished": record["finishedAt"],
        "expires": record.get("expiresAt"),
        # A record must reach the disk whatever a kind put into its error: what is not JSON is written as text.
        "record": json.dumps(record, default=str),
        "result": result,
        "key": None if claim is None else claim.key,
        "fingerprint": None if claim is None else claim.fingerprint,
    }


def record_of(row: sqlite3.Row) -> Record:
    """The record, with its result, of a row that has the columns `record` and `result`."""
    record: Record = json.loads(row["record"])
    record["result"] = None if row["result"] is None else json.loads(row["result"])
    return record
