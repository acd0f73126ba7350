"""Cameras over RTSP as the event loop sees them: the stream, its attempts, what is asked of a camera."""
