"""The worker process of a file: looks into it, or turns it into a package."""
