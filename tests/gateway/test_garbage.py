"""How often the garbage collector looks through everything."""

import gc
import subprocess
import sys

from gateway import garbage

SETTLED = """
import gc, gateway.app
from gateway import garbage
garbage.settle()
print(gc.get_freeze_count(), gc.get_threshold())
"""


def test_what_is_loaded_is_not_looked_through_again_and_the_rest_more_rarely() -> None:
    told = subprocess.run([sys.executable, "-c", SETTLED], capture_output=True, text=True, check=True).stdout
    frozen, _, threshold = told.strip().partition(" ")
    assert int(frozen) > 10_000
    assert threshold == str((*gc.get_threshold()[:2], garbage.ROUNDS))
