"""The fault camera: a live RTSP camera made of generated pictures and sound, which misbehaves on command."""
