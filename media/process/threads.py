"""Threads that are there from the start: none has to be had at a moment when the machine has no more."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

START_LIMIT: Final = 10.0  # seconds


def pool(count: int, name: str) -> ThreadPoolExecutor:
    """An executor whose threads run already. It would start them one by one, and fail the call for which it cannot.

    Raises `RuntimeError` when they cannot be started.
    """
    executor = ThreadPoolExecutor(count, name)
    together = threading.Barrier(count)
    try:
        for each in [executor.submit(together.wait, START_LIMIT) for _ in range(count)]:
            each.result()
    except BaseException:
        together.abort()
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    return executor
