"""How often the garbage collector looks through everything."""

import gc

from gateway import garbage


def test_what_is_loaded_is_not_looked_through_again_and_the_rest_more_rarely() -> None:
    before = gc.get_threshold()
    try:
        garbage.settle()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() == (before[0], before[1], garbage.ROUNDS)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
