"""Writing `.tracecraft.json`, which may hold keys: its owner's only, and never in git."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tcfs.cli._failure import Failure
from tcfs.cli.config import FILE_NAME
from tcfs.wire import Malformed, json


def read(path: Path) -> dict[str, Any]:
    """Return the members of a configuration file; none where there is no file.

    Raises:
        Failure: there is one that holds something else.
    """
    try:
        return json.load_object(path.read_bytes())
    except FileNotFoundError:
        return {}
    except Malformed as error:
        raise Failure(f"{path} is {error}; correct or remove it") from error


def write(path: Path, members: Mapping[str, Any]) -> None:
    """Put a configuration file in place, whole or not at all, mode 0600."""
    # mkstemp's files are 0600 from the start: nobody else reads the keys at any moment.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dump(dict(members)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def keep_out_of_git(directory: Path) -> Path | None:
    """List the configuration file in `.gitignore` where `directory` is in a git checkout.

    Returns the file that was changed; None where there was nothing to do.
    """
    root = next((up for up in (directory, *directory.parents) if (up / ".git").exists()), None)
    if root is None:
        return None
    ignore = directory / ".gitignore"
    if any(_lists(file) for file in (ignore, root / ".gitignore")):
        return None
    text = ignore.read_text() if ignore.exists() else ""
    if text and not text.endswith("\n"):
        text += "\n"
    ignore.write_text(f"{text}{FILE_NAME}\n")
    return ignore


def _lists(ignore: Path) -> bool:
    try:
        lines = ignore.read_text().splitlines()
    except FileNotFoundError:
        return False
    return any(line.strip() in (FILE_NAME, f"/{FILE_NAME}") for line in lines)
