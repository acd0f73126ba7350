"""Keeps sound in step with the picture: the one rule for what is filled and what is left out."""

from fractions import Fraction
from math import floor
from typing import Final

FARTHEST: Final = Fraction(1, 25)  # seconds that sound may be off the picture; ITU-R BT.1359 finds 45 ms noticed
# Seconds of the longest frame that is copied. Rounds of a loop begin at the nearest frame: half of one is lost there.
LONGEST_FRAME: Final = FARTHEST
HALF: Final = Fraction(1, 2)

Number = int | float | Fraction


def gap(stamped: Number, counted: Number, limit: Number) -> int:
    """How many units are to be filled before a piece of sound (above 0), or left out of it (below 0).

    `stamped` is where it belongs by its own stamp, `counted` where it would lie right behind the piece before it; units
    are samples, or frames of equal length. Less than `limit` units off is left alone, for stamps are uneven. Once it is
    more, all of it is made good, so that the piece lies within half a unit of its stamp.
    """
    off = stamped - counted
    return 0 if -limit < off < limit else floor(off + 0.5)
