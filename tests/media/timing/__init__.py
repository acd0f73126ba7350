"""Tests of `media/timing`."""
