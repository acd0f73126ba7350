"""Tests of `gateway/webhooks`."""
