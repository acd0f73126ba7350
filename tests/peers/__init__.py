"""Peers that we did not write, wrapped for the tests: GStreamer's RTSP server, ffmpeg, Chromium."""
