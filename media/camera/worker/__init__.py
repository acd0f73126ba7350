"""The worker process of a camera: opens it with FFmpeg, proves a picture, and makes chunks."""
