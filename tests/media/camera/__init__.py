"""Tests of `media/camera`."""
