"""Says when a live chunk is full, so that chunks between regular key frames are as even as can be."""

from math import ceil


class Cadence:
    """Learns from each group of pictures how to divide the next one. Durations are ticks of one timescale.

    Low-latency HLS allows no short part within a segment (draft-pantos-hls-rfc8216bis, EXT-X-PART: 85 % of the part
    target), but a chunk ends at each key frame: 25 frames in chunks of 9 would end with one of 7. Divided evenly they
    are 9, 8 and 8. `goal` is how long a chunk is to be, rounded up to whole frames, or a little less.
    """

    def __init__(self, goal: int) -> None:
        self._goal = goal
        self._frames = 0  # of the group under way
        self._lasted = 0
        self._chunk = 0  # ticks of the chunk under way
        self._group = 0  # ticks of the last group; 0: none yet
        self._count = 1  # chunks that it is best divided into
        self._part = 1  # which of them is under way, from 1

    @property
    def full(self) -> bool:
        """Whether the chunk under way is to end before the next frame, be that a key frame or not."""
        if not self._group:
            return self._chunk >= self._goal
        return self._lasted * self._count >= self._part * self._group

    @property
    def left(self) -> int:
        """What the chunk under way lacks until it is full, in ticks; about 0 or below when it is."""
        if not self._group:
            return self._goal - self._chunk
        return self._part * self._group // self._count - self._lasted

    def add(self, duration: int) -> None:
        """A frame of that many ticks goes into the chunk under way."""
        self._frames += 1
        self._lasted += duration
        self._chunk += duration

    def cut(self) -> None:
        """The chunk under way ends."""
        self._chunk = 0
        if self._group:
            self._part = self._lasted * self._count // self._group + 1

    def key(self) -> None:
        """The next frame is a key frame: what was added since the last one was a group of pictures."""
        if self._lasted:
            most = ceil(self._goal * self._frames / self._lasted)  # frames in a chunk, if all are equally long
            self._group, self._count = self._lasted, -(-self._frames // most)
        self._frames = self._lasted = 0
        self._part = 1
