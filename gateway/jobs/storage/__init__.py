"""What is kept of jobs on disk: the SQLite store, its rows and transactions, and records on their way there."""
