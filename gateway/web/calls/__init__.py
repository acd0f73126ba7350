"""The calls of the API: jobs, streams, files, and what they share."""
