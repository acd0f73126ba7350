"""An outbox in memory, with the promises of the one in the store."""

import time
from collections import Counter
from collections.abc import Callable

from gateway.jobs.storage.outbox import Outbox, OutboxEvent, Parcel


class MemoryOutbox(Outbox):
    """Without a store: what is put is there at once."""

    def __init__(self, *targets: str, wall: Callable[[], float] = time.time) -> None:
        self.targets = targets
        self.wall = wall
        self.parcels: dict[int, tuple[str, Parcel]] = {}
        self.given_up: dict[int, str] = {}
        self.seq = 0
        self.lost: Counter[str] = Counter()

    def put(self, event: OutboxEvent) -> None:
        for target in self.targets:
            self.seq += 1
            self.parcels[self.seq] = (target, Parcel(self.seq, event, self.wall()))

    async def settled(self) -> None:
        """All is there at once."""

    async def heads(self, target: str, most: int) -> list[int]:
        found: dict[str, int] = {}
        for seq, (whose, parcel) in self.parcels.items():
            if whose == target:
                found.setdefault(parcel.event.subject, seq)
        return sorted(found.values())[:most]

    async def parcel(self, seq: int) -> Parcel | None:
        return self.parcels[seq][1] if seq in self.parcels else None

    async def waiting(self, target: str) -> int:
        return sum(whose == target for whose, _ in self.parcels.values())

    async def trim(self, target: str, most: int) -> int:
        mine = [seq for seq, (whose, _) in self.parcels.items() if whose == target]
        doomed = mine[: max(0, len(mine) - most)]
        for seq in doomed:
            del self.parcels[seq]
        return len(doomed)

    def taken(self, seq: int) -> None:
        self.parcels.pop(seq, None)

    def give_up(self, seq: int, why: str) -> None:
        if self.parcels.pop(seq, None):
            self.given_up[seq] = why
