"""What a source of transcripts gives the mirror, whatever tool wrote them.

Plain blocking code for a worker thread. It knows nothing of buckets, tasks or redaction: what it
returns is as the harness wrote it. Nothing here writes to a source, or leaves anything beside it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, final

Cursor = Mapping[str, Any]
"""How far a session has been read, with what proves it: a JSON object that meta.json keeps.

`at` is always there: what the harness counts in (bytes of a file as plain lines, the number of
events of an OpenClaw database, the last message id of Hermes): it goes into `cursor_range`.
The rest is the source's own.
"""

LIMIT: Final = 1 << 20  # bytes of lines in one batch, as in one part


class Unavailable(Exception):
    """A session cannot be read now: its database is locked, its file moved, gone or foreign.

    Nothing was read, and nothing follows about its lines: try again after the next scan.
    """


@final
@dataclass(frozen=True, slots=True)
class Session:
    """What a source knows of one session, before its lines are read."""

    harness: str
    id: str  # as it goes into keys
    path: Path  # of the file or the database
    entry: str | None = None  # which session of a database; None: the file is the session
    cwd: str | None = None  # where it ran; None: not known (yet)
    started_at: str | None = None  # ISO 8601
    parent: str | None = None  # the id, as above, of the session it belongs to
    client: str | None = None  # the version of the tool
    # What else the harness says, such as a subagent's task. People and models wrote it: what leaves
    # the machine is redacted first, as lines are.
    about: Mapping[str, Any] = field(default_factory=dict, hash=False)
    # Another value whenever there may be something new to read; for this process only.
    stamp: tuple[Any, ...] = ()

    @property
    def source(self) -> str:
        """Return where it lies, for people and for `source_path` in meta."""
        return str(self.path) if self.entry is None else f"{self.path}#{self.entry}"


@final
@dataclass(frozen=True, slots=True)
class Batch:
    """Whole lines, each with its newline, and the cursor after them.

    `restarted`: the cursor that was given no longer proves itself (the source was truncated,
    replaced or rewritten), so that these lines are from the start, of a new generation.
    """

    lines: Sequence[bytes]
    cursor: Cursor
    restarted: bool = False


class Source(Protocol):
    """The sessions of one harness on this machine."""

    @property
    def name(self) -> str:
        """The harness, as it goes into keys."""

    def sessions(self, root: Path | None = None) -> list[Session]:
        """Return all sessions there are now, or those of `root`: cheap, nothing idle is opened.

        Of `root` are those that ran in it or below, and all that belong to one of these, however
        far down. What cannot be read is left out, or is as it was when it last could be.
        """

    def read(self, session: Session, cursor: Cursor | None, limit: int = LIMIT) -> Batch:
        """Return what follows `cursor` (None: the start), `limit` bytes, but one line at least.

        No lines: nothing new yet. Raises Unavailable.
        """

    def resume(self, session: Session, at: int) -> Cursor | None:
        """Return a cursor for `at`, which another tool recorded; None if no line ends there.

        Raises Unavailable.
        """

    def directories(self) -> set[Path]:
        """Return the directories of the last scan: a change in one announces lines or sessions."""


def completed(sessions: Iterable[Session]) -> list[Session]:
    """Return the first of each id; where no directory is known, with its parent's."""
    everything: dict[str, Session] = {}
    for session in sessions:
        everything.setdefault(session.id, session)

    def directory(session: Session) -> str | None:
        seen = set[str]()  # two that name each other as parent end here
        line: Session | None = session
        while line is not None and line.cwd is None and line.id not in seen:
            seen.add(line.id)
            line = everything.get(line.parent or "")
        return line and line.cwd

    return [it if it.cwd else replace(it, cwd=directory(it)) for it in everything.values()]


def within(sessions: Iterable[Session], root: Path | None) -> list[Session]:
    """Return the sessions of `root`, as `Source.sessions` means it; all of them if it is None."""
    everything = {it.id: it for it in sessions}
    if root is None:
        return list(everything.values())
    real = os.path.realpath(root)

    @cache
    def inside(cwd: str) -> bool:
        # A harness writes down the path it was started with: it may lead through a link.
        is_path = Path(cwd).is_absolute() and "\0" not in cwd
        path = os.path.realpath(cwd) if is_path else ""
        return path == real or path.startswith(real.rstrip("/") + "/")

    def belongs(session: Session) -> bool:
        seen = set[str]()
        line: Session | None = session
        while line is not None and line.id not in seen:
            if line.cwd is not None and inside(line.cwd):
                return True
            seen.add(line.id)
            line = everything.get(line.parent or "")
        return False

    return [it for it in everything.values() if belongs(it)]
