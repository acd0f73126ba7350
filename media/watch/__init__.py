"""What viewers get, as the event loop sees it: playlists, partial segments, WebRTC sessions."""
