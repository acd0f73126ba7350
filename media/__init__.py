"""The data plane: sources in worker processes, chunks in rings, playlists for viewers. Never imports `gateway`."""
