"""What commands print on stdout: what they were asked for, and news of what they did.

That whoever read it has gone is no error (`tcfs ls steps | head -1`): no more is said then.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from tcfs.cli._failure import Exit, Failure


def show(data: bytes | memoryview) -> None:
    """Print what was asked for. Ends the command, as if done, where nobody reads on.

    Raises:
        Failure: it cannot be written.
    """
    if sys.stdout is None:
        raise Failure("there is no standard output to print to; redirect it: > FILE")
    if not _print(data):
        raise click.exceptions.Exit(Exit.DONE)


def show_stored(data: bytes) -> None:
    """Print, as `show` does, what somebody stored: to the byte, but a terminal is not commanded."""
    from tcfs.wire.text import shown  # late: most commands print nothing of that kind

    show(shown(data) if sys.stdout is not None and sys.stdout.isatty() else data)


def tell(line: str) -> None:
    """Print a line on what came of the command, which is so whether anybody reads it or not.

    Raises:
        Failure: it cannot be written.
    """
    if sys.stdout is not None:
        _print(f"{line}\n".encode(errors="surrogateescape"))


def _print(data: bytes | memoryview) -> bool:
    """Print, and tell whether somebody may have read it."""
    try:
        sys.stdout.flush()  # what others printed comes before
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _mute()
        return False
    except OSError as error:
        _mute()
        raise Failure(
            f"the output cannot be written: {error.strerror}; redirect it elsewhere"
        ) from None
    return True


@contextmanager
def unread() -> Iterator[None]:
    """End the command, as if done, where nobody reads what click prints."""
    try:
        yield
    except BrokenPipeError:
        _mute()
        raise click.exceptions.Exit(Exit.DONE) from None


def _mute() -> None:
    # What was not yet written goes nowhere, too: Python tries again as it exits, and complains.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
