"""Tests of `media/effects`."""
