"""The control plane: jobs, kinds and the HTTP side. This process never imports `av`."""

__version__ = "0.1.0"
