"""The fault camera's end of RTSP: messages, authentication, transports, descriptions."""
