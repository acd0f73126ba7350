"""Tests of `media/net`."""
