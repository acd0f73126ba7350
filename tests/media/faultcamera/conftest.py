"""Keeps looptime from making an event loop that nobody closes."""

import asyncio

# Around a plain test looptime asks for the current loop. Where none was ever set, Python 3.11 makes one, and its end is
# a ResourceWarning in whatever test runs then. Once None has been set it raises instead, which looptime expects.
asyncio.set_event_loop(None)
