"""Tests of `media/channel/worker`."""
