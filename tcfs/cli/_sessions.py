"""What `tcfs session` does."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, final

from tcfs.cli._failure import Failure
from tcfs.cli._visit import Visit
from tcfs.project.errors import Missing
from tcfs.project.sessions import Gone, Session

CHUNK: Final = 1 << 20  # bytes read at a time, from the end backwards


@final
@dataclass(frozen=True, slots=True)
class Row:
    """A session as `list` shows it."""

    session: Session
    uploaded_bytes: int
    parts: int
    last_uploaded_at: str | None
    ended_at: str | None
    cwd: str | None

    def facts(self) -> dict[str, Any]:
        """Return the row for `--json`."""
        return {
            "harness": self.session.harness,
            "session_id": self.session.id,
            "total_uploaded_bytes": self.uploaded_bytes,
            "parts": self.parts,
            "last_uploaded_at": self.last_uploaded_at,
            "ended_at": self.ended_at,
            "cwd": self.cwd,
        }


async def listed(visit: Visit, harness: str | None, sort_by: str, limit: int) -> Sequence[Row]:
    """Return the sessions that there are, the newest or the largest first."""
    rows = [
        Row(
            session,
            meta.total_uploaded_bytes,
            len(meta.newest() or ()),
            meta.last_uploaded_at,
            meta.ended_at,
            meta.cwd,
        )
        for session, meta in await visit.project.sessions.every(harness)
    ]
    if sort_by == "size":
        rows.sort(key=lambda it: it.uploaded_bytes, reverse=True)
    else:
        rows.sort(key=lambda it: it.last_uploaded_at or "", reverse=True)
    return rows[:limit]


async def named(visit: Visit, name: str) -> Session:
    """Return the session that somebody names, by its id, or as `harness/id`.

    Raises:
        Missing: there is none.
        Failure: several harnesses have one.
    """
    path = name.strip("/").removeprefix("sessions/")
    sessions = visit.project.sessions
    harness, separator, id = path.partition("/")
    harnesses = [harness] if separator else await sessions.harnesses()
    every = [Session(it, id if separator else path) for it in harnesses]
    found = [it for it in every if await sessions.has(it)]
    if not found:
        raise Missing(f"there is no session {name}; `tcfs session list` shows what there is")
    if len(found) > 1:
        names = ", ".join(f"{it.harness}/{it.id}" for it in found)
        raise Failure(f"{name} is the id of several sessions; say which: {names}")
    return found[0]


async def shown(visit: Visit, name: str, tail: int) -> tuple[bytes, bytes]:
    """Return what is known of a session, as it is, and the last lines of its transcript."""
    session = await named(visit, name)
    meta = await visit.project.sessions.meta(session)
    return meta.body, await _last_lines(visit, session, tail) if tail else b""


async def _last_lines(visit: Visit, session: Session, count: int) -> bytes:
    sessions = visit.project.sessions
    transcript = await sessions.transcript(session)
    found, begin = b"", transcript.size
    try:
        # One newline more than lines: that of the line before them.
        while begin and found.count(b"\n") <= count:
            size = min(CHUNK, begin)
            begin -= size
            found = b"".join([*await sessions.read(transcript, begin, size), found])
    except Gone:
        raise Failure(f"{session} was merged at this moment; try again") from None
    lines = found.splitlines(keepends=True)
    return b"".join(lines[-count:])


async def stop(visit: Visit, name: str) -> tuple[Session, bool]:
    """Say that a session is over; return which, and whether that is new."""
    session = await visit.in_time(named(visit, name))
    return session, await visit.in_time(visit.project.mirrors.stop(session))


async def compact(visit: Visit, name: str, keep_tail: int) -> tuple[Session, int, int]:
    """Merge the parts of a session; return which, how many there were, and are."""
    session = await visit.in_time(named(visit, name))
    # Each of its requests has a deadline of its own: there may be gigabytes to move.
    merge = partial(visit.project.mirrors.compact, session, keep_tail=keep_tail)
    before, after = await merge()
    return session, before, after
