"""Tests of `media/rtsp`."""
