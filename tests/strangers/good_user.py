"""One good user, in a process of its own so that no load of the tests slows it: asks, one call after the other, and
prints how long each took.

`python -m tests.strangers.good_user HOST PORT KEY SECONDS PATH...` prints a JSON object: for each path its seconds, in
the order of asking. An answer that is no 200, or that takes longer than `PATIENCE`, ends it with an error.
"""

import http.client
import json
import sys
import time
from typing import Final

PATIENCE: Final = 20.0  # seconds
PAUSE: Final = 0.002  # seconds between two calls: it is no flood itself


def main(host: str, port: int, key: str, seconds: float, paths: list[str]) -> dict[str, list[float]]:
    """Each path in turn, each call over a connection of its own: a good user comes and goes."""
    took: dict[str, list[float]] = {path: [] for path in paths}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for path in paths:
            began = time.perf_counter()
            connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            took[path].append(time.perf_counter() - began)
            if answer.status != 200:
                raise SystemExit(f"{path}: {answer.status}")
            time.sleep(PAUSE)
    return took


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), sys.argv[5:])))
