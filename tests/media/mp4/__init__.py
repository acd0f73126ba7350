"""Tests of `media/mp4`."""
