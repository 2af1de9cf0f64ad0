"""Where tcfs keeps what is its own, by the XDG base directory specification."""

import hashlib
from collections.abc import Mapping
from pathlib import Path


def data_home(environ: Mapping[str, str]) -> Path:
    """Return the directory of the embedded local stores."""
    return _base(environ, "XDG_DATA_HOME", ".local/share") / "tcfs"


def state_home(environ: Mapping[str, str]) -> Path:
    """Return the directory of logs, records of mounts, and journals."""
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "tcfs"


def cache_home(environ: Mapping[str, str]) -> Path:
    """Return the directory of what can be found out again."""
    return _base(environ, "XDG_CACHE_HOME", ".cache") / "tcfs"


def slug(path: Path) -> str:
    """Return a file name for what belongs to `path`: readable, and unlike any other path's."""
    digest = hashlib.sha256(bytes(path)).hexdigest()[:8]
    return f"{path.name[:80] or 'root'}-{digest}"


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    named = Path(environ.get(variable, ""))
    # The specification: a path that is not absolute is to be ignored.
    return named if named.is_absolute() else Path.home() / default
