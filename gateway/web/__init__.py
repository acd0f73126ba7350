"""The HTTP face: parses, calls, renders."""
