"""Tests of `gateway/web`."""
