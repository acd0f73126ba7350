"""Tests of `media/watch`."""
