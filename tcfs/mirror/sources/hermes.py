"""Hermes: `state.db` and one for each profile; a line is a row of `messages`.

Rows are deleted and inserted anew, and flip `active` (rewound) and `compacted` (summarised away).
A cursor is the last message's id with a digest of `(id, active, compacted)` up to it.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, final

from tcfs.mirror.sources._base import LIMIT, Batch, Cursor, Session, completed, within
from tcfs.mirror.sources._files import Scan, moved, text
from tcfs.mirror.sources._sqlite import Databases, columns, reading
from tcfs.wire import json, keys
from tcfs.wire._errors import Malformed

NAME: Final = "hermes"
_SESSION: Final = frozenset(
    ("id", "cwd", "started_at", "parent_session_id", "source", "title", "model")
)
_ABOUT: Final = ("source", "title", "model")
_MARKS: Final = frozenset(("id", "active", "compacted"))
_JSON: Final = "\0json:"  # before content that is not plain text (Hermes' own mark)


@final
class Hermes:
    """The sessions of Hermes for a user with these environment variables."""

    name = NAME

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._home = moved(environ, "HERMES_HOME", ".hermes")
        self._databases = Databases(_sessions)
        self._directories: set[Path] = set()

    def sessions(self, root: Path | None = None) -> list[Session]:
        """Return all sessions there are now, or those of `root`."""
        scan = Scan()
        homes = [self._home, *scan.subdirectories(self._home / "profiles")]
        for home in homes:
            scan.expects_file(home / "state.db")
        said = self._databases.of(home / "state.db" for home in homes)
        self._directories = scan.directories
        # A subagent's directory is its parent's, which may have nothing to read itself.
        known = completed(session for sessions in said.values() for session in sessions)
        known = within((it for it in known if keys.is_session_name(it.id)), root)
        return [it for it in known if it.stamp]

    def read(self, session: Session, cursor: Cursor | None, limit: int = LIMIT) -> Batch:
        """Return the rows after `cursor` as lines; raises Unavailable."""
        at = _at(cursor)
        with reading(session.path) as connection:
            proof = _proof(connection, session.id, at)
            restarted = cursor is not None and proof.hexdigest() != cursor.get("sha256")
            if restarted:
                at, proof = 0, hashlib.sha256()
            lines: list[bytes] = []
            size = 0
            for row in _rows(connection, session.id, at):
                line = _line(row)
                if lines and size + len(line) > limit:
                    break
                lines.append(line)
                size += len(line)
                at = row["id"]
                proof.update(_mark(row))
        return Batch(lines, {"at": at, "sha256": proof.hexdigest()}, restarted)

    def resume(self, session: Session, at: int) -> Cursor | None:
        """Return a cursor for the message with this id, None if there is none; raises Unavailable.

        The reference counts in message ids too.
        """
        query = "SELECT 1 FROM messages WHERE session_id = ? AND id = ?"
        with reading(session.path) as connection:
            if at and connection.execute(query, (session.id, at)).fetchone() is None:
                return None
            return {"at": at, "sha256": _proof(connection, session.id, at).hexdigest()}

    def directories(self) -> set[Path]:
        """Return the directories of the last scan."""
        return self._directories


def _sessions(path: Path, connection: sqlite3.Connection) -> list[Session]:
    active = "active" if "active" in columns(connection, "messages") else "1"
    # The index on (session_id, active, timestamp) has all of this. `compacted` flips together with
    # `active`; should one ever flip alone, the digest shows it when the next message comes.
    counts = connection.execute(
        f"SELECT session_id, COUNT(*), MAX(id), SUM({active}), SUM({active} * id)"
        " FROM messages GROUP BY session_id"
    )
    stamps = {row[0]: tuple(row)[1:] for row in counts}
    wanted = ", ".join(sorted(_SESSION & columns(connection, "sessions")))
    found: list[Session] = []
    for record in connection.execute(f"SELECT {wanted} FROM sessions ORDER BY rowid"):
        row = dict(record)
        if (session := text(row["id"])) is None:
            continue
        found.append(
            Session(
                NAME,
                session,
                path,
                entry=session,
                cwd=text(row.get("cwd")),
                started_at=_time(row.get("started_at")),
                parent=text(row.get("parent_session_id")),
                about={name: row[name] for name in _ABOUT if row.get(name)},
                stamp=stamps.get(session, ()),
            )
        )
    return found


def _rows(connection: sqlite3.Connection, session: str, after: int) -> Iterator[dict[str, Any]]:
    query = "SELECT * FROM messages WHERE session_id = ? AND id > ? ORDER BY id"
    return (dict(row) for row in connection.execute(query, (session, after)))


def _proof(connection: sqlite3.Connection, session: str, at: int) -> "hashlib._Hash":
    """Return the digest of what a session's messages up to `at` are now."""
    wanted = ", ".join(sorted(_MARKS & columns(connection, "messages")))
    query = f"SELECT {wanted} FROM messages WHERE session_id = ? AND id <= ? ORDER BY id"
    digest = hashlib.sha256()
    for row in connection.execute(query, (session, at)):
        digest.update(_mark(dict(row)))
    return digest


def _mark(row: Mapping[str, Any]) -> bytes:
    return f"{row['id']} {row.get('active')} {row.get('compacted')}\n".encode()


def _at(cursor: Cursor | None) -> int:
    at = cursor.get("at") if cursor is not None else 0
    return at if isinstance(at, int) else 0


def _line(row: Mapping[str, Any]) -> bytes:
    """Return a row as the reference does: all of it, content that is JSON as JSON."""
    row = {name: _plain(value) for name, value in row.items()}
    content = row.get("content")
    if isinstance(content, str) and content.startswith(_JSON):
        with suppress(Malformed):
            row["content"] = json.load(content.removeprefix(_JSON).encode())
    return json.dump_line(row).encode() + b"\n"


def _plain(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _time(value: Any) -> str | None:
    with suppress(OverflowError, OSError, ValueError):
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC).isoformat().replace("+00:00", "Z")
    return None
