"""Packages of files on disk: made once, found again, read without blocking the event loop."""
