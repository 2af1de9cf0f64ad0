"""Homes of coding agents as the real clients write them, made by the tests themselves."""

import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zstandard

from tcfs.mirror.sources import Cursor, Session, Source

CWD = "/srv/harness/proj/my_proj.v2 -- déjà"
OTHER = "/srv/harness/proj/other"


def dump(*objects: Any) -> bytes:
    """Return objects as JSON Lines, compact and in UTF-8 as the clients write them."""
    return b"".join(
        json.dumps(it, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for it in objects
    )


def ids(source: Source, root: str | Path | None = None) -> set[str]:
    """Return the ids of the sessions of `root`, each of which is there once."""
    found = [it.id for it in source.sessions(None if root is None else Path(root))]
    assert len(found) == len(set(found))
    return set(found)


def one(source: Source, session: str) -> Session:
    """Return a session by its id."""
    return next(it for it in source.sessions() if it.id == session)


def read_all(
    source: Source, session: Session, cursor: Cursor | None = None, limit: int = 1 << 20
) -> tuple[list[bytes], Cursor]:
    """Return all lines after a cursor that has to prove itself, and the last cursor."""
    lines: list[bytes] = []
    while True:
        batch = source.read(session, cursor, limit)
        assert not batch.restarted
        cursor = json.loads(json.dumps(batch.cursor))  # as meta.json keeps it
        if not batch.lines:
            return lines, cursor
        lines += batch.lines


def claude_lines(session: str, cwd: str, turns: int = 1, **more: Any) -> bytes:
    """Return a transcript of Claude Code: its first lines do not say where it runs."""
    common = {"cwd": cwd, "sessionId": session, "version": "2.1.330", "gitBranch": "master", **more}
    queue = {"type": "queue-operation", "timestamp": "2026-11-22T10:19:28.545Z"}
    said = [
        {
            "parentUuid": None,
            "isSidechain": False,
            "type": "user",
            "message": {"role": "user", "content": f"[tool] turn {turn} café"},
            "uuid": f"{turn:08d}-f8e7-4f2e-8a5c-47906031b8d7",
            "timestamp": "2026-11-22T10:19:28.623Z",
            **common,
        }
        for turn in range(turns)
    ]
    return dump(
        {**queue, "operation": "enqueue", "content": '"cwd":"/nowhere"', "sessionId": session},
        {**queue, "operation": "dequeue", "sessionId": session},
        *said,
    )


def codex_lines(session: str, cwd: str, turns: int = 1, **more: Any) -> bytes:
    """Return a rollout of Codex."""
    meta = {
        "account_scoped": True,
        "session_id": more.get("parent_thread_id", session),
        "id": session,
        "timestamp": "2026-11-22T10:17:23.210Z",
        "cwd": cwd,
        "originator": "codex_exec",
        "cli_version": "0.169.0",
        "source": "exec",
        "base_instructions": {"text": "You are a coding agent " * 900},
        **more,
    }
    stamp = {"timestamp": "2026-11-22T10:17:23.284Z"}
    said = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"{n}"}]}
        for n in range(1, turns + 1)
    ]
    return dump(
        {**stamp, "ordinal": 0, "type": "session_meta", "payload": meta},
        *(
            {**stamp, "ordinal": n, "type": "response_item", "payload": it}
            for n, it in enumerate(said, 1)
        ),
    )


def rollout(session: str, clock: str = "10-17-23") -> str:
    """Return the name of a rollout."""
    return f"rollout-2026-11-22T{clock}-{session}.jsonl"


def write(path: Path, data: bytes) -> Path:
    """Write a file and the directories that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def append(path: Path, data: bytes) -> None:
    """Append to a file as a client does."""
    with path.open("ab") as file:
        file.write(data)


def compress(path: Path) -> Path:
    """Replace a file with a `.zst` of it, in frames of a few lines as a stream has them."""
    data = path.read_bytes()
    half = len(data) // 2
    packed = b"".join(zstandard.compress(it) for it in (data[:half], data[half:]))
    path.unlink()
    return write(path.with_name(path.name + ".zst"), packed)


OPENCLAW = """
CREATE TABLE schema_meta (meta_key TEXT NOT NULL PRIMARY KEY, role TEXT NOT NULL,
  schema_version INTEGER NOT NULL, agent_id TEXT, app_version TEXT) STRICT;
CREATE TABLE session_nodes (session_key TEXT NOT NULL PRIMARY KEY,
  current_session_id TEXT NOT NULL, entry_json TEXT NOT NULL, updated_at INTEGER NOT NULL,
  parent_session_key TEXT, spawned_by TEXT) STRICT;
CREATE TABLE session_windows (session_id TEXT NOT NULL PRIMARY KEY, session_key TEXT NOT NULL,
  previous_session_id TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  parent_session_key TEXT, spawned_by TEXT,
  FOREIGN KEY (session_key) REFERENCES session_nodes(session_key) ON DELETE CASCADE) STRICT;
CREATE TABLE transcript_events (session_id TEXT NOT NULL, seq INTEGER NOT NULL, event_json TEXT,
  created_at INTEGER NOT NULL, event_zstd BLOB,
  event_utf8_bytes INTEGER CHECK (event_utf8_bytes IS NULL OR event_utf8_bytes >= 0),
  navigation_json TEXT, PRIMARY KEY (session_id, seq),
  FOREIGN KEY (session_id) REFERENCES session_windows(session_id) ON DELETE CASCADE,
  CHECK ((event_json IS NOT NULL AND event_zstd IS NULL)
    OR (event_json IS NULL AND event_zstd IS NOT NULL AND event_utf8_bytes IS NOT NULL
        AND navigation_json IS NOT NULL)),
  CHECK (navigation_json IS NULL OR octet_length(navigation_json) <= 16384)) STRICT;
CREATE TABLE session_transcript_cold_archives (session_id TEXT NOT NULL PRIMARY KEY,
  generation TEXT NOT NULL, archive_name TEXT NOT NULL UNIQUE, archive_sha256 TEXT NOT NULL,
  event_count INTEGER NOT NULL, raw_bytes INTEGER NOT NULL, archive_bytes INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, archived_at INTEGER NOT NULL, storage TEXT NOT NULL,
  archive_blob BLOB,
  FOREIGN KEY (session_id) REFERENCES session_windows(session_id) ON DELETE CASCADE) STRICT;
CREATE TABLE transcript_rewrite_watermarks (session_id TEXT NOT NULL PRIMARY KEY,
  generation TEXT NOT NULL, updated_at INTEGER NOT NULL) STRICT;
"""


class OpenClawDatabase:
    """The database of an agent, open as its gateway has it."""

    def __init__(self, home: Path, agent: str = "main") -> None:
        self.path = home / "agents" / agent / "agent" / "openclaw-agent.sqlite"
        self.path.parent.mkdir(parents=True)
        self.agent = agent
        self.connection = database(self.path)
        # SQLite before 3.43 has none, and the schema checks with it.
        self.connection.create_function("octet_length", 1, len, deterministic=True)
        self.connection.executescript(OPENCLAW)
        row = ("primary", "agent", 23, agent, "2026.9.6")
        self.connection.execute("INSERT INTO schema_meta VALUES (?, ?, ?, ?, ?)", row)

    def session(
        self, session: str, cwd: str | None, spawned_by: str | None = None, key: str | None = None
    ) -> str:
        """Begin a session with its event 0; return the key by which others name it."""
        key = key or f"agent:{self.agent}:explicit:{session}"
        self.connection.execute(
            "INSERT OR REPLACE INTO session_nodes VALUES (?, ?, '{}', 1, NULL, ?)",
            (key, session, spawned_by),
        )
        self.connection.execute(
            "INSERT INTO session_windows VALUES (?, ?, NULL, 1795342896089, 1, NULL, ?)",
            (session, key, spawned_by),
        )
        head = {"type": "session", "version": 4, "id": session}
        head["timestamp"] = "2026-11-22T10:21:39.275Z"
        self.add(session, head if cwd is None else {**head, "cwd": cwd})
        self.rewritten(session, "a6688089bcfb46e497e6c68aa4d1155b")
        return key

    def add(self, session: str, event: object, *, packed: bool = False) -> None:
        """Append an event."""
        query = "SELECT coalesce(MAX(seq) + 1, 0) FROM transcript_events WHERE session_id = ?"
        seq = self.connection.execute(query, (session,)).fetchone()[0]
        said = dump(event)[:-1]
        content = (None, zstandard.compress(said)) if packed else (said.decode(), None)
        self.connection.execute(
            "INSERT INTO transcript_events VALUES (?, ?, ?, 1795342899275, ?, ?, ?)",
            (session, seq, *content, len(said), "{}" if packed else None),
        )

    def cool(self, session: str, *, inside: bool = False) -> Path:
        """Move the events of a session to an archive, which may lie in the database itself."""
        events = self.connection.execute(
            "SELECT seq, event_json, created_at FROM transcript_events WHERE session_id = ?"
            " ORDER BY seq",
            (session,),
        ).fetchall()
        query = "SELECT generation FROM transcript_rewrite_watermarks WHERE session_id = ?"
        generation = self.connection.execute(query, (session,)).fetchone()[0]
        header = {"kind": "header", "version": 1, "sessionId": session, "generation": generation}
        rows = [dict(zip(("seq", "event_json", "created_at"), it, strict=True)) for it in events]
        index = {"kind": "index", "row": {"indexed_seq": len(rows) - 1, "needs_rebuild": 0}}
        said = dump(header, *({"kind": "event", "row": it} for it in rows), index)
        packed = zstandard.compress(said)
        digest = hashlib.sha256(packed).hexdigest()
        name = f"{digest}.jsonl.zst"
        self.connection.execute(
            "INSERT INTO session_transcript_cold_archives VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
            (
                *(session, generation, name, digest, len(rows), len(said), len(packed)),
                *(rows[-1]["seq"], "sqlite" if inside else "file", packed if inside else None),
            ),
        )
        self.connection.execute("DELETE FROM transcript_events WHERE session_id = ?", (session,))
        path = self.path.parent.parent / "sessions" / "cold" / name
        return path if inside else write(path, packed)

    def warm(self, session: str, events: Sequence[tuple[int, str]]) -> None:
        """Put the events of a session back."""
        self.connection.execute(
            "DELETE FROM session_transcript_cold_archives WHERE session_id = ?", (session,)
        )
        self.connection.executemany(
            "INSERT INTO transcript_events VALUES (?, ?, ?, 1795342899275, NULL, ?, NULL)",
            [(session, seq, said, len(said.encode())) for seq, said in events],
        )

    def rewritten(self, session: str, generation: str) -> None:
        """Set the generation."""
        row = (session, generation, 1795342899679)
        self.connection.execute(
            "INSERT OR REPLACE INTO transcript_rewrite_watermarks VALUES (?, ?, ?)", row
        )


HERMES = """
CREATE TABLE sessions (id TEXT PRIMARY KEY, source TEXT NOT NULL, model TEXT, system_prompt TEXT,
  parent_session_id TEXT, started_at REAL NOT NULL, ended_at REAL, cwd TEXT, title TEXT,
  FOREIGN KEY (parent_session_id) REFERENCES sessions(id));
CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT,
  session_id TEXT NOT NULL REFERENCES sessions(id), role TEXT NOT NULL, content TEXT,
  tool_calls TEXT, timestamp REAL NOT NULL, active INTEGER NOT NULL DEFAULT 1,
  compacted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX idx_messages_session_active ON messages(session_id, active, timestamp);
"""


class HermesDatabase:
    """A `state.db`, open as Hermes has it."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.path = home / "state.db"
        self.connection = database(self.path)
        self.connection.executescript(HERMES)

    def session(self, session: str, cwd: str | None, parent: str | None = None) -> None:
        """Begin a session; a subagent's has no directory."""
        self.connection.execute(
            "INSERT INTO sessions (id, source, model, parent_session_id, started_at, cwd)"
            " VALUES (?, ?, 'mock-model', ?, 1795342819.8061016, ?)",
            (session, "subagent" if parent else "cli", parent, cwd),
        )

    def add(self, session: str, *contents: str) -> None:
        """Append messages."""
        self.connection.executemany(
            "INSERT INTO messages (session_id, role, content, timestamp)"
            " VALUES (?, 'user', ?, 1795342819.8091333)",
            [(session, it) for it in contents],
        )


def database(path: Path) -> sqlite3.Connection:
    """Return an autocommit connection to a new database in WAL mode."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def around(path: Path) -> dict[str, tuple[int, int]]:
    """Return what lies beside a database, with sizes and times: nothing that reads changes it.

    Nothing is opened: closing a file would drop the locks that the test's own writer has on it.
    """
    found = {it.name: it.stat() for it in path.parent.iterdir()}
    return {name: (it.st_size, it.st_mtime_ns) for name, it in found.items()}


class Opens:
    """Counts what this process opens, whoever in it does: files, databases and directories."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.counting = False
        sys.addaudithook(self._hook)

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """Yield the list of what is opened from here on."""
        self.files = []
        self.counting = True
        try:
            yield self.files
        finally:
            self.counting = False

    def _hook(self, event: str, arguments: Sequence[object]) -> None:
        if self.counting and event in ("open", "sqlite3.connect"):
            self.files.append(str(arguments[0]))


OPENS = Opens()  # an audit hook cannot be taken away again: there is one
