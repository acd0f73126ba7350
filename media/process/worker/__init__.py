"""The worker's end: the fork server, the table of tasks, and the socket to the gateway."""
