"""The subcommand `keys`: makes, lists and revokes API keys, also while the gateway runs."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from gateway.auth.keys import Key, KeyFile, KeysError, Scope
from gateway.settings import Settings

DAY: Final = 86400.0  # seconds
MOST_DAYS: Final = 36500
LAST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # no calendar of ours goes further


def run(arguments: Sequence[str], settings: Settings) -> int:
    """Returns the exit status: 0 when it is done, 2 when it cannot be; bad arguments end the process."""
    asked = _parser().parse_args(arguments)
    keys = KeyFile(settings.keys_file)
    try:
        if asked.verb == "make":
            scopes = tuple(Scope(scope) for scope in dict.fromkeys(asked.scope))
            key, text = keys.make(asked.name, scopes, None if asked.days is None else asked.days * DAY)
            print(text)
            print(f"This is the key {key.name!r} ({key.id}); it is not shown again.", file=sys.stderr)
        elif asked.verb == "revoke":
            key = keys.revoke(asked.key)
            print(f"The key {key.name!r} ({key.id}) is revoked; a running gateway knows within a second.")
        else:
            for key in keys.every():
                print(_row(key))
    except (KeysError, OSError) as error:
        print(f"reelgate keys: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="reelgate keys", description="API keys; what is kept of them is a hash.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("make", help="make a key and print it, this once")
    make.add_argument("name", help="what you call it, for example: portal")
    make.add_argument(
        "--scope", action="append", required=True, choices=[str(scope) for scope in Scope],
        help="what it may do, again for each: read, play, control (with read and play), admin (all of it, all jobs)",
    )  # fmt: skip
    make.add_argument("--days", type=_days, help="how long it is good for; without it, until it is revoked")
    revoke = verbs.add_parser("revoke", help="take a key back")
    revoke.add_argument("key", help="its name or its id")
    verbs.add_parser("list", help="show what keys there are")
    return parser


def _days(text: str) -> float:
    with suppress(ValueError):
        if 1 <= (days := float(text)) <= MOST_DAYS:
            return days
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 1 to {MOST_DAYS}")


def _row(key: Key) -> str:
    until = "good until revoked" if key.expires is None else f"good until {_day(key.expires)}"
    return f"{key.id}  {key.name}  {','.join(key.scopes)}  made {_day(key.created)}  {until}"


def _day(at: float) -> str:
    """The date, or the nearest one that can be shown. Older versions took any number of days, also NaN."""
    return datetime.fromtimestamp(max(0.0, min(LAST, at)), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
