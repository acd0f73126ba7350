"""Tests of `media/channel/playlist`."""
