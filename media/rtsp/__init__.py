"""The client's end of RTSP: addresses, authentication, messages, descriptions."""
