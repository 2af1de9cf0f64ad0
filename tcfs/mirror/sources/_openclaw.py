"""The database of one OpenClaw agent, `agents/<agent>/agent/openclaw-agent.sqlite`.

Where it is told to (`session.maintenance.coldStorage`), OpenClaw moves the events of sessions that
are idle for long out of the database into an archive, and puts them back when one goes on. The
generation stays, so that hot or cold a session is the same one (see `_openclaw_cold`).
"""

import hashlib
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, final

import zstandard

from tcfs.mirror.sources import _openclaw_cold as cold
from tcfs.mirror.sources._base import Batch, Cursor, Session, Unavailable
from tcfs.mirror.sources._files import text
from tcfs.mirror.sources._sqlite import reading
from tcfs.wire import json
from tcfs.wire._errors import Malformed

NAME: Final = "openclaw"
_log = logging.getLogger(__name__)
# One line each: in JSON a newline outside a string is white space, inside it is written `\n`.
_ONE_LINE: Final = {ord("\n"): " ", ord("\r"): " "}


@final
@dataclass(frozen=True, slots=True)
class Agent:
    """What a database says: its sessions, each with the key of the session that spawned it.

    `current` leads from the keys, by which sessions name each other, to the ids of sessions.
    """

    sessions: tuple[tuple[Session, str | None], ...]
    current: Mapping[str, str]


class _Event(NamedTuple):
    seq: int
    line: bytes


@final
class Asking:
    """Asks databases; it remembers what archives say, which never change."""

    def __init__(self) -> None:
        self._heads: dict[cold.Archive, Mapping[str, Any]] = {}

    def __call__(self, path: Path, connection: sqlite3.Connection) -> Agent:
        """Return what the database says now."""
        agent = path.parent.parent.name
        archives = cold.archives(connection)
        version = connection.execute("SELECT app_version FROM schema_meta LIMIT 1").fetchone()
        current = {
            row["session_key"]: f"{agent}__{row['current_session_id']}"
            for row in connection.execute(_CURRENT)
        }
        found: list[tuple[Session, str | None]] = []
        for row in connection.execute(_SESSIONS).fetchall():
            archive = archives.get(row["session_id"])
            if row["last"] is None and archive is None:
                continue
            head = self._head(path, connection, row["session_id"], archive)
            session = Session(
                NAME,
                f"{agent}__{row['session_id']}",
                path,
                entry=row["session_id"],
                cwd=text(head.get("cwd")),
                started_at=text(head.get("timestamp")),
                client=text(version and version["app_version"]),
                about={"session_key": row["session_key"]},
                stamp=(row["generation"], archive.last if archive else row["last"]),
            )
            found.append((session, text(row["spawned_by"])))
        return Agent(tuple(found), current)

    def _head(
        self,
        path: Path,
        connection: sqlite3.Connection,
        session: str,
        archive: cold.Archive | None,
    ) -> Mapping[str, Any]:
        """Return the first event; one that cannot be read says nothing."""
        if archive is None:
            return _head(connection, session)
        if archive not in self._heads:
            try:
                said = next(cold.events(path, connection, archive), (0, "{}"))[1]
                self._heads[archive] = json.load_object(_one_line(said))
            except (Unavailable, Malformed) as error:
                _log.info("%s: %s", path, error)
                return {}
        return self._heads[archive]


def read(session: Session, cursor: Cursor | None, limit: int) -> Batch:
    """Return the events after `cursor` as lines; raises Unavailable."""
    with reading(session.path) as connection:
        start = _start(connection, session, cursor)
        lines: list[bytes] = []
        size, at = 0, start or 0
        for event in _events(connection, session, at):
            if lines and size + len(event.line) > limit:
                break
            lines.append(event.line)
            size += len(event.line)
            at = event.seq + 1
        after = _cursor(connection, session, at)
    return Batch(lines, after, start is None)


def resume(session: Session, at: int) -> Cursor | None:
    """Return a cursor for the first `at` events, None if there are not so many."""
    with reading(session.path) as connection:
        if at and _event(connection, session, at - 1) is None:
            return None
        return _cursor(connection, session, at)


def _start(connection: sqlite3.Connection, session: Session, cursor: Cursor | None) -> int | None:
    """Return where `cursor` stands; None: it no longer proves itself."""
    if cursor is None:
        return 0
    at: Any = cursor.get("at")
    if not isinstance(at, int) or "generation" not in cursor:
        return None
    return at if _cursor(connection, session, at) == dict(cursor) else None


def _cursor(connection: sqlite3.Connection, session: Session, at: int) -> Cursor:
    row = connection.execute(_GENERATION, (session.entry,)).fetchone()
    last = _event(connection, session, at - 1) if at else None
    return {
        "generation": row and row["generation"],
        "at": at,
        "sha256": hashlib.sha256(last).hexdigest() if last is not None else None,
    }


def _event(connection: sqlite3.Connection, session: Session, seq: int) -> bytes | None:
    event = next(_events(connection, session, seq), None)
    return event.line if event is not None and event.seq == seq else None


def _events(connection: sqlite3.Connection, session: Session, start: int) -> Iterator[_Event]:
    """Yield the events from `start` on, as lines; raises Unavailable."""
    archive = cold.archive_of(connection, session.entry or "")
    if archive is not None:
        for seq, said in cold.events(session.path, connection, archive, start):
            yield _Event(seq, _one_line(said) + b"\n")
        return
    for row in connection.execute(_EVENTS, (session.entry, start)):
        yield _Event(row["seq"], _line(session, row))


def _head(connection: sqlite3.Connection, session: str) -> Mapping[str, Any]:
    row = connection.execute(f"{_EVENTS} LIMIT 1", (session, 0)).fetchone()
    try:
        return json.load_object(_one_line(_plain(row))) if row is not None else {}
    except (Malformed, zstandard.ZstdError):
        return {}


def _line(session: Session, row: sqlite3.Row) -> bytes:
    try:
        return _one_line(_plain(row)) + b"\n"
    except zstandard.ZstdError as error:
        raise Unavailable(f"{session.source}: event {row['seq']}: {error}") from error


def _plain(row: sqlite3.Row) -> str:
    said: str | None = row["event_json"]
    if said is not None:
        return said
    packed, size = row["event_zstd"], row["event_utf8_bytes"]
    plain: bytes = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    return plain.decode(errors="replace")


def _one_line(said: str) -> bytes:
    return said.translate(_ONE_LINE).encode(errors="replace")


_CURRENT: Final = "SELECT session_key, current_session_id FROM session_nodes"
_SESSIONS: Final = """
SELECT w.session_id, w.session_key, coalesce(w.spawned_by, n.spawned_by) AS spawned_by,
       r.generation, (SELECT MAX(seq) FROM transcript_events e
                      WHERE e.session_id = w.session_id) AS last
FROM session_windows w
LEFT JOIN session_nodes n ON n.session_key = w.session_key
LEFT JOIN transcript_rewrite_watermarks r ON r.session_id = w.session_id
ORDER BY w.created_at
"""
_EVENTS: Final = """
SELECT seq, event_json, event_zstd, event_utf8_bytes FROM transcript_events
WHERE session_id = ? AND seq >= ? ORDER BY seq
"""
_GENERATION: Final = "SELECT generation FROM transcript_rewrite_watermarks WHERE session_id = ?"
