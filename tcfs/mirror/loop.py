"""The loop that tails: what is new in the transcripts of this machine goes into the bucket.

Sources are looked through in a thread, and only those that changed are read. What one session
meets, an owner elsewhere, a store that refuses, a file that cannot be read, keeps no other back.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, final

import trio

from tcfs.mirror._tail import Progress, Tail
from tcfs.mirror._threads import in_thread
from tcfs.mirror.kept import Kept
from tcfs.mirror.sources import Session, Source
from tcfs.project import Project
from tcfs.project.errors import Refused
from tcfs.project.mirroring import Origin
from tcfs.project.sessions import Session as Mirrored
from tcfs.stores import StoreError
from tcfs.wire.text import on_one_line

Found = tuple[Source, Session]

log: Final = logging.getLogger(__name__)
INTERVAL: Final = 5.0  # seconds between two looks: sessions.md, the loop
AT_ONCE: Final = 4  # sessions stored at the same time
LAST: Final = 10.0  # seconds for what is new when the loop ends


@final
@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions are mirrored, and when. `root` None: wherever they ran.

    `session_id` is as in keys. `least` is how many new bytes are worth a part.
    """

    root: Path | None
    session_id: str | None = None
    newest: bool = False  # only the one that was written to last, with what belongs to it
    least: int = 1
    interval: float = INTERVAL


@final
@dataclass(frozen=True, slots=True)
class Row:
    """How it stands with one session."""

    session: Mirrored
    source: str
    cwd: str | None
    progress: Progress

    def __str__(self) -> str:
        """Return it as a line for people."""
        it = self.progress
        counts = f"{it.lines} lines, {it.uploaded_bytes} bytes"
        return f"{self.session.harness}/{self.session.id}: {it.state}; {counts}; of {self.source}"


@final
class Loop:
    """Mirrors the sessions of some sources into one project."""

    def __init__(
        self,
        project: Project,
        sources: Sequence[Source],
        wanted: Wanted,
        kept: Kept | None,
    ) -> None:
        """`kept` is for redaction; None: what is mirrored is as it was written."""
        self._project = project
        self._sources = sources
        self._wanted = wanted
        self._kept = kept
        self._tails: dict[tuple[str, str], Tail] = {}
        self._refused: dict[tuple[str, str], str] = {}
        self._newest: tuple[str, str] | None = None

    def rows(self) -> list[Row]:
        """Return how it stands with each session that was found."""
        return [
            Row(
                Mirrored(it.session.harness, it.session.id),
                it.session.source,
                it.session.cwd,
                it.progress,
            )
            for _, it in sorted(self._tails.items())
        ]

    def text(self) -> str:
        """Return `sessions/active`: a line each; what cannot be mirrored at all comes last."""
        lines = [*map(str, self.rows()), *self.refused]
        return "".join(f"{on_one_line(it)}\n" for it in lines)

    @property
    def refused(self) -> list[str]:
        """Why some sessions cannot be mirrored at all."""
        return list(self._refused.values())

    async def run(self) -> None:
        """Mirror until cancelled; what is new by then is stored, for a few seconds at most."""
        try:
            while True:
                try:
                    await self.look()
                except Exception:
                    # A bug in here must not end a mount.
                    log.exception("the transcripts could not be looked through")
                await trio.sleep(self._wanted.interval)
        finally:
            with trio.move_on_after(LAST, shield=True):
                try:
                    await self.end()
                except Exception:
                    log.exception("what is new in the transcripts is not stored")

    async def look(self, least: int | None = None) -> None:
        """Look through the sources once, and store what is new."""
        found = [(source, it) for source in self._sources for it in await self._found(source)]
        for source, session in await in_thread(partial(self._chosen, found)):
            self._take(source, session)
        least = self._wanted.least if least is None else least
        queue = iter([it for it in self._tails.values() if it.due(least)])

        async def work() -> None:
            for tail in queue:
                await _stored(tail, least)

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(work)

    async def end(self) -> None:
        """Store what is new, however little, and let all sessions go."""
        await self.look(least=1)
        for tail in self._tails.values():
            await tail.release()

    # inside

    async def _found(self, source: Source) -> list[Session]:
        try:
            return await in_thread(partial(source.sessions, self._wanted.root))
        except OSError as error:
            log.warning("the sessions of %s cannot be looked through now: %s", source.name, error)
            return []

    def _chosen(self, found: Sequence[Found]) -> Sequence[Found]:
        wanted = self._wanted
        if wanted.session_id is not None:
            found = [it for it in found if it[1].id == wanted.session_id]
        elif wanted.newest:
            # It stays the one, though another begins meanwhile.
            self._newest = self._newest or _newest([it for _, it in found])
            found = [it for it in found if _name(it[1]) in self._family(found)]
        return found

    def _family(self, found: Sequence[Found]) -> set[tuple[str, str]]:
        """Return the newest session and those that belong to it, however far down."""
        if self._newest is None:
            return set()
        family = {self._newest}
        while more := {
            _name(it)
            for _, it in found
            if (it.harness, it.parent) in family and _name(it) not in family
        }:
            family |= more
        return family

    def _take(self, source: Source, session: Session) -> None:
        name = _name(session)
        tail = self._tails.get(name)
        if tail is not None:
            tail.session = session
            return
        origin = Origin(
            source_path=session.source,
            cwd=session.cwd,
            agent_id=self._project.agent,
            parent_session_id=session.parent,
            client=session.client,
        )
        try:
            mirroring = self._project.mirrors.of(Mirrored(*name), origin)
        except (Refused, StoreError) as error:
            if name not in self._refused:
                log.warning("%s", error)
            self._refused[name] = str(error)
        else:
            self._tails[name] = Tail(source, session, mirroring, self._kept)


def _name(session: Session) -> tuple[str, str]:
    return session.harness, session.id


def _newest(sessions: Sequence[Session]) -> tuple[str, str] | None:
    """Return the session that was written to last, of those that belong to no other."""

    def written(session: Session) -> tuple[int, str]:
        try:
            at = session.path.stat().st_mtime_ns
        except OSError:
            at = 0
        return at, session.started_at or ""  # a database has all of its sessions

    own = [it for it in sessions if it.parent is None] or sessions
    return _name(max(own, key=written)) if own else None


async def _stored(tail: Tail, least: int) -> None:
    before = tail.progress.state
    try:
        await tail.store(least)
    except Exception:
        # One session that nobody foresaw must not end the mirroring of all others.
        log.exception("%s", tail.session.source)
        tail.failed("a bug; see the log")
    if tail.progress.state not in ("idle", before):
        level = logging.WARNING if tail.progress.failed else logging.INFO
        log.log(level, "%s", on_one_line(tail.progress.state))
