"""Tests of `media/codecs`."""
