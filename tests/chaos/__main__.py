"""`python -m tests.chaos`: kills and shortages at random, and whether a gateway loses anything by them; prints figures.

Each round takes something away for five seconds, in turn a disk with room, file descriptors, and further processes,
and kills the gateway, its fork server or a worker meanwhile, while callers start and end channels and put files. After
each round everything acknowledged must be there, everything live again, and nothing left: no zombie, no process that
nobody knows of, no temporary file. As root the disk is a small tmpfs and processes are counted by a cgroup; for anybody
else they are limits of the processes (getrlimit(2)).
"""

import argparse
import asyncio
import signal
import statistics
import sys
import tempfile
from pathlib import Path

from tests.chaos import rounds
from tests.chaos.rounds import Broken, Told
from tests.chaos.troubles import TROUBLES, small_disk


def main() -> int:
    """0 when nothing was lost, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each trouble lasts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="where to keep the gateway's log; gone without")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it puts everything back, however it is ended
    found: list[Told] = []
    status = 1

    def told(number: int, each: Told) -> None:
        found.append(each)
        killed = f"{each.victim} killed" if each.killed else f"no {each.victim} to kill"
        counts = f"{each.acknowledged} acknowledged, {each.refused} refused, {each.broken_off} broken off"
        print(f"{number + 1:3}  {each.trouble}, {killed}: {counts}; well after {each.healed:.1f} s", flush=True)

    with tempfile.TemporaryDirectory(prefix="reelgate-chaos-") as top:
        folder = Path(top, "disk")
        try:
            with small_disk(folder):
                status = asyncio.run(rounds.run(folder, given.rounds, given.seconds, given.seed, told))
        except Broken as broken:
            print(f"BROKEN in round {len(found) + 1}: {broken}", flush=True)
        finally:
            if given.log is not None:
                given.log.write_bytes(Path(top, "gateway.log").read_bytes())
    print(f"{summary(found)}\n{'something was lost or left' if status else 'nothing was lost, nothing left'}")
    return 1 if status else 0


def summary(found: list[Told]) -> str:
    """The figures of all rounds."""
    lines = [f"{len(found)} rounds, {sum(each.acknowledged for each in found)} calls acknowledged"]
    for trouble in TROUBLES:
        healed = [each.healed for each in found if each.trouble == trouble]
        if healed:
            median, worst = statistics.median(healed), max(healed)
            lines.append(f"  {trouble}: well after {median:.1f} s (median), {worst:.1f} s (worst)")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
