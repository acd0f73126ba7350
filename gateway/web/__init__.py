"""The HTTP side: parses, calls, renders."""
