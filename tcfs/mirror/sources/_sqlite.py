"""Reading a database that its owner is writing to: nothing locked for long, nothing left behind.

Opening a database in WAL mode read-only, as SQLite does it, *creates* `-wal` and `-shm` beside it
where they are missing, and leaves them there: the owner may then be unable to open what another
user made. So:

- no `-wal`, no rollback journal: everything is in the database file. It is opened `immutable`
  (no locks, nothing created), and what was read counts only if the file is the same afterwards.
- a `-wal` and a `-shm`: somebody has it open, or died. `readonly_shm` reads the index that is
  there under its locks, or builds one in memory.
- a `-wal` alone: no index, so later, when its owner has opened it again.
- a journal: as anybody opens it; SQLite waits for, or refuses, a transaction that is under way.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Generic, TypeVar, final
from urllib.parse import quote

from tcfs.mirror.sources._base import Unavailable
from tcfs.mirror.sources._files import Stamp, stamp

T = TypeVar("T")
_log = logging.getLogger(__name__)
_PATIENCE: Final = 0.25  # seconds a read waits for a writer's lock; after that, the next scan
_BESIDE: Final = ("-wal", "-journal")
_TEMPORARY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_TICK: Final = 1_000_000_000  # ns after which no two transactions share a time of modification


@final
class Busy(Unavailable):
    """The database is being written to: nothing to tell anybody about."""


@final
class Databases(Generic[T]):
    """What databases say of their sessions, asked again only after a transaction."""

    def __init__(self, ask: Callable[[Path, sqlite3.Connection], T]) -> None:
        self._ask = ask
        self._known: dict[Path, tuple[object, T]] = {}
        self._refused: set[Path] = set()

    def of(self, paths: Iterable[Path]) -> dict[Path, T]:
        """Return what each says, or said when it last could be read."""
        known: dict[Path, tuple[object, T]] = {}
        for path in paths:
            now = database_stamp(path)
            if now is None:
                continue
            before = self._known.get(path)
            if before is not None:
                known[path] = before
                if before[0] == now:
                    continue
            try:
                with reading(path) as connection:
                    said = self._ask(path, connection)
            except Busy:
                continue
            except Unavailable as error:
                if path not in self._refused:
                    self._refused.add(path)
                    _log.warning("transcripts cannot be read: %s", error)
                continue
            self._refused.discard(path)
            # A -wal is written over from its start: then its time is all that changes.
            settled = time.time_ns() - max(it[3] for it in now if it) > _TICK
            known[path] = now if settled else None, said
        self._known = known
        return {path: said for path, (_, said) in known.items()}


def database_stamp(path: Path) -> tuple[Stamp, ...] | None:
    """Return what changes with every transaction; None if there is no such database.

    In WAL mode a transaction is written to `-wal`; only a checkpoint changes the database itself.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return stamp(found), *(_stamp_of(_beside(path, it)) for it in _BESIDE)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for one short look, in one transaction.

    What was read inside is worth nothing if this raises.

    Raises:
        Unavailable: locked, in the middle of being written, or no database that we can read.
    """
    before = database_stamp(path)
    if before is None:
        raise Unavailable(f"{path} is not there")
    beside = {it: _size(_beside(path, it)) for it in _BESIDE}
    alone = not any(beside.values())
    try:
        with closing(_connection(path, alone, beside)) as connection:
            yield connection
    except sqlite3.Error as error:
        temporary = getattr(error, "sqlite_errorcode", 0) & 0xFF in _TEMPORARY
        if temporary or database_stamp(path) != before:
            raise Busy(f"{path}: {error}") from error
        raise Unavailable(f"{path}: {error}") from error
    # Unlocked, a checkpoint could have been under way: part of one state, part of another.
    if alone and database_stamp(path) != before:
        raise Busy(f"{path} was written to while it was read")


def _connection(path: Path, alone: bool, beside: dict[str, int]) -> sqlite3.Connection:
    if alone:
        return _open(path, "immutable=1")
    if not beside["-wal"]:
        return _open(path)
    if not _beside(path, "-shm").exists():
        raise Unavailable(f"{path} has a -wal without a -shm; its client has to open it again")
    return _open(path, "readonly_shm=1")


def _open(path: Path, *options: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?" + "&".join(["mode=ro", *options])
    connection = sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        # Tools have stored half a character: the rest of the row is worth reading.
        connection.text_factory = _text
        connection.execute("PRAGMA query_only = 1")
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the names of a table's columns: versions differ. Empty: no such table."""
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return {row["name"] for row in rows}


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _stamp_of(path: Path) -> Stamp:
    with suppress(OSError):
        return stamp(path.stat())
    return ()
