"""Kills and shortages at random: see `tests.chaos.__main__`."""
