"""The log of a mount: a file in the user's state directory, or the terminal."""

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from tcfs.cli._failure import Failure

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
    _use(RotatingFileHandler(path, maxBytes=_SIZE, backupCount=1, encoding="utf-8"))


def to_terminal() -> None:
    """Log to stderr from now on."""
    _use(logging.StreamHandler(sys.stderr))


def _use(handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter(_FORM))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
