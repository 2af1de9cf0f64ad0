"""The archives of OpenClaw's cold sessions: `sessions/cold/<sha256>.jsonl.zst` of an agent.

An archive is JSON Lines, compressed: a header, then the rows of several tables, of which those of
`transcript_events` are `{"kind":"event","row":{"seq":0,"event_json":"…","created_at":0}}`, in their
order. It is called by its SHA-256, so one never changes. Before it is a file it is in the database.
"""

import io
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, cast, final

import zstandard

from tcfs.mirror.sources._base import Unavailable
from tcfs.mirror.sources._sqlite import columns
from tcfs.wire import json
from tcfs.wire._errors import Malformed

_TABLE: Final = "session_transcript_cold_archives"
_ALL: Final = f"SELECT session_id, archive_name, last_seq, storage FROM {_TABLE}"
_BODY: Final = f"SELECT archive_blob FROM {_TABLE} WHERE session_id = ?"
_NAME: Final = re.compile(r"[0-9a-f]{64}\.jsonl\.zst")
_SEQ: Final = re.compile(rb'\{"kind":"event","row":\{"seq":(\d{1,15}),')


@final
@dataclass(frozen=True, slots=True)
class Archive:
    """Where the events of a session are while it is cold; `last` is the number of the last."""

    session: str
    name: str
    last: int
    inside: bool  # the database

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        """Return what a row says."""
        inside = row["storage"] == "sqlite"
        return cls(row["session_id"], row["archive_name"], row["last_seq"], inside)


def archives(connection: sqlite3.Connection) -> Mapping[str, Archive]:
    """Return the archive of each cold session; versions before 2026.9 have none."""
    if not columns(connection, _TABLE):
        return {}
    return {it.session: it for it in map(Archive.of, connection.execute(_ALL))}


def archive_of(connection: sqlite3.Connection, session: str) -> Archive | None:
    """Return the archive of a session; None: it is not cold."""
    if not columns(connection, _TABLE):
        return None
    row = connection.execute(f"{_ALL} WHERE session_id = ?", (session,)).fetchone()
    return None if row is None else Archive.of(row)


def events(
    database: Path, connection: sqlite3.Connection, archive: Archive, start: int = 0
) -> Iterator[tuple[int, str]]:
    """Yield the numbers and the JSON of the events from `start` on; raises Unavailable."""
    try:
        with _opened(database, connection, archive) as file:
            for line in file:
                # Most of what is asked for is the rest of a long one.
                known = _SEQ.match(line)
                if known is not None and int(known[1]) < start:
                    continue
                event = _event(line)
                if event is not None and event[0] >= start:
                    yield event
    except (OSError, zstandard.ZstdError, Malformed) as error:
        raise Unavailable(f"{archive.name}, of session {archive.session}: {error}") from error


@contextmanager
def _opened(
    database: Path, connection: sqlite3.Connection, archive: Archive
) -> Iterator[io.BufferedReader]:
    if archive.inside:
        body = connection.execute(_BODY, (archive.session,)).fetchone()["archive_blob"]
        packed: BinaryIO = io.BytesIO(body or b"")
    else:
        # Never a path that the database makes up.
        if not _NAME.fullmatch(archive.name):
            raise Unavailable(f"{archive.name!r} is no name of an archive")
        packed = (database.parent.parent / "sessions" / "cold" / archive.name).open("rb")
    with packed:
        plain = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
        yield io.BufferedReader(cast(io.RawIOBase, plain), 1 << 16)


def _event(line: bytes) -> tuple[int, str] | None:
    record = json.load_object(line)
    if record.get("kind") != "event":
        return None
    row: Any = record.get("row")
    seq, said = (row.get("seq"), row.get("event_json")) if isinstance(row, dict) else (None, None)
    if type(seq) is not int or not isinstance(said, str):
        raise Malformed("an event has a whole number `seq` and a text `event_json`")
    return seq, said
