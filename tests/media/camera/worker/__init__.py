"""Tests of `media/camera/worker`."""
