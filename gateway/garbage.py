"""How often the garbage collector looks through everything, which stops the event loop."""

import gc
from typing import Final

# Rounds of the middle generation until a full one is due, which is 10 as Python comes. A full one takes a tenth of a
# second where a thousand jobs and their callers are in flight. What is let go is mostly freed at once, by its last
# reference; only old objects that refer to one another in a circle wait for it.
ROUNDS: Final = 30


def settle() -> None:
    """Call it when all is loaded and started: what is there then stays, and is never looked through again."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, ROUNDS)
    gc.collect()
    gc.freeze()
