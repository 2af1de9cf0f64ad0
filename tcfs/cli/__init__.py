"""The command line: `tcfs`, one file a command group.

Nothing heavy is imported before a command runs, so that help and completion answer at once.
"""

from tcfs.cli._main import main

__all__ = ["main"]
