"""Where tcfs keeps what is its own, by the XDG base directory specification."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tcfs.cli._failure import Failure


def data_home(environ: Mapping[str, str]) -> Path:
    """Return the directory of the embedded local stores."""
    return _base(environ, "XDG_DATA_HOME", ".local/share") / "tcfs"


def state_home(environ: Mapping[str, str]) -> Path:
    """Return the directory of logs, records of mounts, and journals."""
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "tcfs"


def cache_home(environ: Mapping[str, str]) -> Path:
    """Return the directory of what can be found out again."""
    return _base(environ, "XDG_CACHE_HOME", ".cache") / "tcfs"


def own(path: Path) -> Path:
    """Make a directory that is this user's alone, whatever the umask, and return it.

    Raises:
        Failure: it is there, and is not.
    """
    for directory in (*reversed(path.parents), path):
        # `parents=True` would make them as open as the umask says.
        directory.mkdir(mode=0o700, exist_ok=True)
    return owned(path)


def owned(path: Path) -> Path:
    """Return a directory of ours that is nobody else's; it may be missing.

    Raises:
        Failure: another user has it, or put a link there, or may write to it: what lies there
            is not to be trusted, and what would lie there not to be shown.
    """
    try:
        owners = {path.lstat().st_uid, path.stat().st_uid}
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    if owners != {os.geteuid()}:
        raise Failure(
            f"{path} is another user's; remove it, or set {_VARIABLES} to directories of your own"
        )
    if mode & 0o022:
        raise Failure(f"others may write to {path}; look what is in it, then run: chmod 700 {path}")
    return path


_VARIABLES: Final = "XDG_STATE_HOME and XDG_CACHE_HOME"


def slug(path: Path) -> str:
    """Return a file name for what belongs to `path`: readable, and unlike any other path's."""
    digest = hashlib.sha256(bytes(path)).hexdigest()[:8]
    return f"{path.name[:80] or 'root'}-{digest}"


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    named = Path(environ.get(variable, ""))
    # The specification: a path that is not absolute is to be ignored.
    return named if named.is_absolute() else Path.home() / default
