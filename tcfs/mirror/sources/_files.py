"""Looking for files: each one is a `stat`, and only what changed since is opened."""

import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, final

import zstandard

from tcfs.mirror.sources._lines import is_quiet, opened
from tcfs.wire import json
from tcfs.wire._errors import Malformed

T = TypeVar("T")
Stamp = tuple[int, ...]

HEAD: Final = 8 << 20  # bytes in which a session has to say where it runs
_log = logging.getLogger(__name__)


def stamp(found: os.stat_result) -> Stamp:
    """Return what tells a file, and that it did not change."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@final
class Scan:
    """One walk over a harness's directories; it remembers where it has been.

    A directory that is missing or not ours to read is empty: the rest is still found.
    """

    def __init__(self) -> None:
        self.directories: set[Path] = set()

    def files(self, directory: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[Path, Stamp]]:
        """Yield the ordinary files whose names are wanted, with their stamps."""
        for entry in self._entries(directory):
            if not wanted(entry.name):
                continue
            try:
                found = entry.stat()
            except OSError:  # gone since, or a link that leads nowhere
                continue
            # Opening a FIFO would wait for a writer.
            if stat.S_ISREG(found.st_mode):
                if entry.is_symlink():
                    self.expects_file(Path(entry.path))
                yield Path(entry.path), stamp(found)

    def texts(self, directory: Path, suffix: str = "") -> Iterator[tuple[Path, Stamp]]:
        """Yield the texts in a directory, such as large outputs of tools."""
        for path, found in self.files(directory, lambda name: name.endswith(suffix)):
            # That a text has ended shows in its age alone: it is something new to read.
            yield path, (*found, is_quiet(found[3] / 1e9))

    def subdirectories(self, directory: Path) -> Iterator[Path]:
        """Yield the directories in a directory."""
        for entry in self._entries(directory):
            try:
                is_directory = entry.is_dir()
            except OSError:
                continue
            if is_directory:
                yield Path(entry.path)

    def expects(self, directory: Path) -> None:
        """Take note of a directory that may come to be: what is above it announces it."""
        while not directory.is_dir() and directory != directory.parent:
            directory = directory.parent
        self.directories.add(directory)

    def expects_file(self, path: Path) -> None:
        """Take note of where a file is, or may come to be, that was not looked for by `files`."""
        self.expects(path.parent)
        if path.is_symlink():  # what is written to it happens elsewhere
            self.expects(Path(os.path.realpath(path)).parent)

    def _entries(self, directory: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(directory) as entries:
                found = sorted(entries, key=lambda it: it.name)
        except OSError:
            self.expects(directory.parent)
            return []
        self.directories.add(directory)
        return found


@final
class Heads(Generic[T]):
    """What the files say of themselves at their beginning, read again only if they changed."""

    def __init__(self, parse: Callable[[Path], T | None]) -> None:
        self._parse = parse
        self._known: dict[Path, tuple[Stamp, T | None]] = {}
        self._refused: set[Path] = set()

    def of(self, files: Mapping[Path, Stamp]) -> dict[Path, T]:
        """Return what each file says; those that say nothing, or cannot be read, are left out."""
        known: dict[Path, tuple[Stamp, T | None]] = {}
        for path, now in files.items():
            before = self._known.get(path)
            if before is not None and before[0] == now:
                known[path] = before
                continue
            try:
                known[path] = now, self._parse(path)
                self._refused.discard(path)
            except FileNotFoundError:
                continue
            except (OSError, zstandard.ZstdError) as error:
                # Not remembered: permissions may be mended with no change to the file.
                if path not in self._refused:
                    self._refused.add(path)
                    _log.warning("a transcript cannot be read: %s: %s", path, error)
        self._known = known
        return {path: head for path, (_, head) in known.items() if head is not None}


def objects(path: Path, most: int = HEAD) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects on a file's first whole lines, and skip what is none.

    Raises OSError and ZstdError.
    """
    with opened(path) as file:
        rest, read = b"", 0
        while read < most and (data := file.read(1 << 16)):
            read += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                try:
                    yield json.load_object(line)
                except Malformed:
                    continue


def first(path: Path) -> Mapping[str, Any] | None:
    """Return the object on the first line, where most harnesses describe the session."""
    return next(objects(path), None)


def text(value: Any) -> str | None:
    """Return a member that should be text; None for anything else, and for nothing."""
    return value if isinstance(value, str) and value else None


def home(environ: Mapping[str, str]) -> Path:
    """Return the user's home as the harness sees it."""
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def moved(environ: Mapping[str, str], variable: str, default: str) -> Path:
    """Return the directory that `variable` names, else `default` below the home."""
    where = environ.get(variable)
    return below_home(environ, where) if where else home(environ) / default


def below_home(environ: Mapping[str, str], where: str) -> Path:
    """Return a path in which `~` may stand for the home."""
    if where == "~" or where.startswith("~/"):
        return home(environ) / where[2:]
    return Path(where)


def setting(path: Path, *names: str) -> str | None:
    """Return a text of a settings file; None where it, or the file, is not there or not ours."""
    try:
        value: Any = json.load_object(path.read_bytes())
    except (OSError, Malformed):
        return None
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return text(value)
