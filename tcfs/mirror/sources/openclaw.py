"""OpenClaw: a database for each agent, older versions a file for each session.

Sessions are `<agent>__<id>`: an id is one agent's own. A line of the database is an event; a cursor
is the number of events with what proves it: the generation, which OpenClaw changes whenever it
rewrites a transcript, and the SHA-256 of the last event.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, final

from tcfs.mirror.sources import _openclaw as database
from tcfs.mirror.sources._base import LIMIT, Batch, Cursor, Session, completed, within
from tcfs.mirror.sources._files import Scan, Stamp, first, moved, text
from tcfs.mirror.sources._sqlite import Databases
from tcfs.mirror.sources._transcripts import Transcripts
from tcfs.wire import keys

NAME: Final = database.NAME
_CHECKPOINT: Final = ".checkpoint."


@final
class OpenClaw:
    """The sessions of OpenClaw for a user with these environment variables."""

    name = NAME

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._agents = _state(environ) / "agents"
        self._databases = Databases(database.Asking())
        self._files = Transcripts(NAME, self._find, _describe)
        self._directories: set[Path] = set()

    def sessions(self, root: Path | None = None) -> list[Session]:
        """Return all sessions there are now, or those of `root`."""
        scan = Scan()
        agents = scan.subdirectories(self._agents)
        databases = [it / "agent" / "openclaw-agent.sqlite" for it in agents]
        for path in databases:
            scan.expects_file(path)
        said = self._databases.of(databases)
        current = {key: session for it in said.values() for key, session in it.current.items()}
        known = [
            replace(session, parent=current.get(spawned_by or ""))
            for it in said.values()
            for session, spawned_by in it.sessions
            if keys.is_session_name(session.id)
        ]
        # What was taken over from a file into the database goes on there.
        known += self._files.sessions()
        self._directories = scan.directories
        return within(completed(known), root)

    def read(self, session: Session, cursor: Cursor | None, limit: int = LIMIT) -> Batch:
        """Return what follows `cursor`; raises Unavailable."""
        if session.entry is None:
            return self._files.read(session, cursor, limit)
        return database.read(session, cursor, limit)

    def resume(self, session: Session, at: int) -> Cursor | None:
        """Return a cursor for the offset or the number of events; raises Unavailable."""
        if session.entry is None:
            return self._files.resume(session, at)
        return database.resume(session, at)

    def directories(self) -> set[Path]:
        """Return the directories of the last scan."""
        return self._directories | self._files.directories()

    def _find(self, scan: Scan) -> Iterator[tuple[Path, Stamp]]:
        for agent in scan.subdirectories(self._agents):
            yield from scan.files(agent / "sessions", _is_transcript)


def _state(environ: Mapping[str, str]) -> Path:
    if environ.get("OPENCLAW_STATE_DIR"):
        return moved(environ, "OPENCLAW_STATE_DIR", "")
    profile = environ.get("OPENCLAW_PROFILE", "default")
    name = ".openclaw" if profile in ("", "default") else f".openclaw-{profile}"
    return moved(environ, "OPENCLAW_HOME", "") / name


def _is_transcript(name: str) -> bool:
    # A trajectory is the same session told to a debugger, many times as long.
    return name.endswith(".jsonl") and not name.endswith(".trajectory.jsonl")


def _describe(path: Path) -> Session | None:
    """Return what a file says; `<id>-topic-<n>` is a session of its own, a checkpoint is not."""
    head = first(path)
    if head is None or "traceSchema" in head:
        return None
    agent = path.parent.parent.name
    whole, checkpoint, _ = path.stem.partition(_CHECKPOINT)
    return Session(
        NAME,
        f"{agent}__{path.stem}",
        path,
        cwd=text(head.get("cwd")),
        started_at=text(head.get("timestamp")),
        parent=f"{agent}__{whole}" if checkpoint else None,
    )
