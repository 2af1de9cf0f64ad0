"""The log of a mount: a file in the user's state directory, or the terminal."""

import io
import logging
import os
import sys
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, final

from tcfs.cli._failure import Failure
from tcfs.wire.text import escaped

_FORM: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_SIZE: Final = 8 << 20  # bytes, before it is begun anew; one old one is kept


def make(path: Path) -> None:
    """Make the log file, readable to its owner only.

    Raises:
        Failure: it cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.open("ab").close()
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}; use --log-file") from error


def to_file(path: Path) -> None:
    """Log to `path` from now on."""
    _use(_File(path, maxBytes=_SIZE, backupCount=1, encoding="utf-8"))


def to_terminal() -> None:
    """Log to stderr from now on."""
    _use(logging.StreamHandler(sys.stderr))


def _use(handler: logging.Handler) -> None:
    handler.setFormatter(_Lines(_FORM))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


@final
class _File(RotatingFileHandler):
    """A file that is its owner's only, also when it is begun anew."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        raw = io.FileIO(os.open(self.baseFilename, flags, 0o600), "ab")
        return TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace")


@final
class _Lines(logging.Formatter):
    """What it says of names and texts from the bucket can neither command a terminal nor forge."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record, its further lines indented and its control characters escaped."""
        return escaped(super().format(record)).replace("\n", "\n    ")
