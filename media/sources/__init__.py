"""Sources that open a network address, one file each; every one runs in a worker process."""
