"""Tests of `gateway/jobs`."""
