"""The subcommand `webhooks`: makes a secret; shows what waits and what was given up, and has that tried again."""

import argparse
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from gateway.jobs.job import time_of_day
from gateway.webhooks import signature

_LIST: Final = "SELECT event, type, subject, created, given_up FROM outbox ORDER BY seq"
_RETRY: Final = "UPDATE outbox SET given_up = NULL, created = ? WHERE given_up IS NOT NULL"


def run(arguments: Sequence[str], data_dir: Path) -> int:
    """Returns the exit status: 0 when it is done, 2 when it cannot be; bad arguments end the process."""
    verb = parser().parse_args(arguments).verb
    if verb == "secret":
        print(signature.made())
        return 0
    path = data_dir / "reelgate.db"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as store, store:
            if verb == "list":
                for row in store.execute(_LIST):
                    print(_row(*row))
            else:
                count = store.execute(_RETRY, (time.time(),)).rowcount
                print(f"{count} events are tried again, by a running gateway within a minute.")
    except sqlite3.Error as error:
        print(f"reelgate webhooks: the store {path} cannot be used: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """What may be said."""
    found = argparse.ArgumentParser(prog="reelgate webhooks", description="What is told to receivers of webhooks.")
    verbs = found.add_subparsers(dest="verb", required=True)
    verbs.add_parser("secret", help="print a new secret for the setting webhook_secret")
    verbs.add_parser("list", help="show the events that wait, and those that were given up")
    verbs.add_parser("retry", help="have the events that were given up tried again, late as they are")
    return found


def _row(event: str, type: str, subject: str, created: float, given_up: str | None) -> str:
    return f"{event}  {time_of_day(created)}  {type}  {subject}  {f'given up: {given_up}' if given_up else 'waits'}"
