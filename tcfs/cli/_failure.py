"""What a command says when it could not do its work."""

from enum import IntEnum
from typing import final


@final
class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    TIMED_OUT = 124  # what timeout(1) says
    INTERRUPTED = 130  # what a shell says: 128 and SIGINT


@final
class Failure(Exception):
    """Ends a command. The text reads `<what happened>; <what to do>`."""

    def __init__(self, text: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(text)
        self.code = code
