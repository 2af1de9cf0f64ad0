"""Sessions that are files: one harness is where they lie, and what they say of themselves."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import final

from tcfs.mirror.sources._base import LIMIT, Batch, Cursor, Session, completed, within
from tcfs.mirror.sources._files import Heads, Scan, Stamp
from tcfs.mirror.sources._lines import read_lines, resume_lines
from tcfs.wire import keys

Find = Callable[[Scan], Iterable[tuple[Path, Stamp]]]
Describe = Callable[[Path], Session | None]


def _lines(session: Session, cursor: Cursor | None, limit: int) -> Batch:
    return read_lines(session.path, cursor, limit)


@final
class Transcripts:
    """A source whose sessions are files.

    `find` yields the files there are; where two are the same session, the first is taken.
    `describe` opens one, and returns None if it is no transcript (raises OSError, ZstdError).
    """

    def __init__(
        self,
        name: str,
        find: Find,
        describe: Describe,
        read: Callable[[Session, Cursor | None, int], Batch] = _lines,
    ) -> None:
        self._name = name
        self._find = find
        self._read = read
        self._heads = Heads(describe)
        self._directories: set[Path] = set()

    @property
    def name(self) -> str:
        """The harness, as it goes into keys."""
        return self._name

    def sessions(self, root: Path | None = None) -> list[Session]:
        """Return all sessions there are now, or those of `root`; one `stat` for each file."""
        scan = Scan()
        files = dict(self._find(scan))
        heads = self._heads.of(files)
        self._directories = scan.directories
        # In the order in which they were found; what no key can hold is nothing we could mirror.
        known = (replace(heads[path], stamp=files[path]) for path in files if path in heads)
        return within(completed(it for it in known if keys.is_session_name(it.id)), root)

    def read(self, session: Session, cursor: Cursor | None, limit: int = LIMIT) -> Batch:
        """Return what follows `cursor`; raises Unavailable."""
        return self._read(session, cursor, limit)

    def resume(self, session: Session, at: int) -> Cursor | None:
        """Return a cursor for the offset, None if no line ends there; raises Unavailable."""
        return resume_lines(session.path, at)

    def directories(self) -> set[Path]:
        """Return the directories of the last scan."""
        return self._directories
