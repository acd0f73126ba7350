"""Tests of `media/pictures/worker`."""
