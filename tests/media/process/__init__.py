"""Tests of `media/process`."""
