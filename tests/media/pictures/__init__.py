"""Tests of `media/pictures`."""
