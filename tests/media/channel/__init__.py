"""Tests of `media/channel`."""
