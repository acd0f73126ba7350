"""Tests of `media/faultcamera`."""
