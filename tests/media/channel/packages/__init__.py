"""Tests of `media/channel/packages`."""
