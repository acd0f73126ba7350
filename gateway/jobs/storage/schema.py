"""The tables of the store, how a file of an older version gets them, and the statements that write to them."""

from functools import cache
from typing import Final

# What brings a file from one schema to the next, in order; its `user_version` counts those that it has had.
MIGRATIONS: Final = (
    """
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY,  -- the order of acceptance, whatever the wall clock says
    id TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,
    kind TEXT NOT NULL,
    created TEXT NOT NULL,
    finished TEXT,
    record TEXT NOT NULL,     -- JSON without `result`
    result BLOB               -- the bytes that were serialised at the commit
) STRICT;
CREATE INDEX jobs_unfinished ON jobs (seq) WHERE finished IS NULL;
CREATE TABLE streams (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;
""",
    """
ALTER TABLE jobs ADD COLUMN expires TEXT;
ALTER TABLE jobs ADD COLUMN key TEXT;          -- the caller's Idempotency-Key, within its scope
ALTER TABLE jobs ADD COLUMN fingerprint TEXT;  -- of what was asked for under that key
UPDATE jobs SET expires = json_extract(record, '$.expiresAt');
CREATE UNIQUE INDEX jobs_key ON jobs (key) WHERE key IS NOT NULL;
CREATE INDEX jobs_expires ON jobs (expires) WHERE expires IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished) WHERE finished IS NOT NULL;
CREATE INDEX jobs_state ON jobs (state);
CREATE INDEX jobs_kind ON jobs (kind);
CREATE INDEX jobs_created ON jobs (created);
CREATE TABLE tombstones (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
""",
    """
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which things happened; never used twice
    target TEXT NOT NULL,
    subject TEXT NOT NULL,    -- the job or stream: what happens to one is told in order
    event TEXT NOT NULL,      -- the same with each attempt
    type TEXT NOT NULL,
    created REAL NOT NULL,    -- seconds since the epoch
    body TEXT NOT NULL,
    given_up TEXT             -- why it is not tried any more
) STRICT;
CREATE INDEX outbox_waiting ON outbox (target, subject, seq) WHERE given_up IS NULL;
""",
    """
ALTER TABLE jobs ADD COLUMN owner TEXT GENERATED ALWAYS AS (json_extract(record, '$.request.key')) VIRTUAL;
CREATE INDEX jobs_owner ON jobs (owner, seq) WHERE owner IS NOT NULL;
""",
)
SCHEMA_VERSION: Final = len(MIGRATIONS)

_COLUMNS: Final = "id, revision, state, kind, created, finished, expires, record, result, key, fingerprint"
_VALUES: Final = f"({', '.join('?' * len(_COLUMNS.split(', ')))})"


@cache
def save_jobs(count: int) -> str:
    """The statement that writes so many rows of jobs, whose values follow one another (see `job_row`)."""
    return f"""
INSERT INTO jobs ({_COLUMNS}) VALUES {", ".join([_VALUES] * count)}
ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, state = excluded.state, finished = excluded.finished,
    expires = excluded.expires, record = excluded.record, result = excluded.result
"""


MARK_REVISION: Final = """
INSERT INTO marks (name, value) VALUES ('revision', ?)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)
"""
DELETE_JOB: Final = "DELETE FROM jobs WHERE id = ?"
BURY: Final = "INSERT OR IGNORE INTO tombstones (id) VALUES (?)"
FORGET_GRAVES: Final = "DELETE FROM tombstones WHERE seq <= (SELECT max(seq) FROM tombstones) - ?"
SAVE_STREAM: Final = """
INSERT INTO streams (id, name, body) VALUES (:id, :name, :body)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body
"""
# The mark outlives the jobs that had the highest revisions, and counts what is no job.
HIGHEST_REVISION: Final = """
SELECT max(coalesce((SELECT max(revision) FROM jobs), 0), coalesce((SELECT value FROM marks), 0))
"""
