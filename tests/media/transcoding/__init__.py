"""Tests of `media/transcoding`."""
