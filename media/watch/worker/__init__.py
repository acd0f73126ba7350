"""The worker process of WebRTC: sends one stream to many peers."""
