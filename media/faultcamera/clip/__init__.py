"""What a fault camera shows: a few seconds of pictures and sound, encoded once and cut into RTP payloads."""
