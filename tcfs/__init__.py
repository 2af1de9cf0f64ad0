"""tcfs: mounts the bucket that a fleet of AI agents coordinates through as a directory."""

__version__ = "0.1.0"
