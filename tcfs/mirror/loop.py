"""The loop that tails: what is new in the transcripts of this machine goes into the bucket.

Sources are looked through in a thread, once an interval at most, and then only those in which
something happened, as the kernel tells. Of their sessions only what changed is read. What one
session meets, an owner elsewhere, a store that refuses, a file that cannot be read, keeps no other
back.
"""

import logging
import math
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, final

import trio

from tcfs.mirror._memory import give_back
from tcfs.mirror._tail import Progress, Tail
from tcfs.mirror._threads import in_thread
from tcfs.mirror._watch import Watch
from tcfs.mirror.active import Active
from tcfs.mirror.kept import Kept
from tcfs.mirror.sources import Session, Source
from tcfs.project import Project
from tcfs.project.errors import Refused
from tcfs.project.mirroring import Origin
from tcfs.project.sessions import Session as Mirrored
from tcfs.stores import StoreError
from tcfs.wire.ids import AgentId
from tcfs.wire.text import on_one_line

Found = tuple[Source, Session]

log: Final = logging.getLogger(__name__)
INTERVAL: Final = 5.0  # seconds between two looks at least: sessions.md, the loop
GATHER: Final = 0.2  # seconds after the first news in a quiet time, for what comes with them
SWEEP: Final = 60.0  # seconds between two looks at everything: age and links announce nothing
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
        whose: Callable[[str], AgentId | None] = lambda _: None,
    ) -> None:
        """`kept` is for redaction; None: what is mirrored is as it was written.

        `whose` tells which agent works in a directory, if it is not the project's; it may block.
        """
        give_back()
        self._project = project
        self._sources = sources
        self._wanted = wanted
        self._kept = kept
        self._active = Active(project.agents.writes, project.agent, whose)
        self._tails: dict[tuple[str, str], Tail] = {}
        self._refused: dict[tuple[str, str], str] = {}
        self._newest: tuple[str, str] | None = None
        self._found: dict[str, list[Session]] = {}  # by source, as it was looked through last
        self._swept = -math.inf  # trio time at which all sources were

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
            with closing(await in_thread(Watch)) as watch:
                while True:
                    try:
                        await self._news(watch)
                        await self._follow(watch)
                    except Exception:
                        # A bug in here must not end a mount.
                        log.exception("the transcripts could not be looked through")
                        self._swept = -math.inf
                    await trio.sleep(self._wanted.interval)
        finally:
            with trio.move_on_after(LAST, shield=True):
                try:
                    await self.end()
                except Exception:
                    log.exception("what is new in the transcripts is not stored")

    async def look(self, least: int | None = None) -> None:
        """Look through all sources once, and store what is new."""
        await self._look(self._sources, least)

    async def end(self) -> None:
        """Store what is new, however little, and let all sessions go."""
        await self.look(least=1)
        for tail in self._tails.values():
            await tail.release()

    # inside

    async def _news(self, watch: Watch) -> None:
        """Wait until there may be something new."""
        if watch.blind:
            return
        again = (it.due_at(self._wanted.least) for it in self._tails.values())
        with trio.move_on_at(min((self._swept + SWEEP, *again))):
            await watch.wait()
            await trio.sleep(GATHER)

    async def _follow(self, watch: Watch) -> None:
        """Look through what may have changed."""
        everything = trio.current_time() >= self._swept + SWEEP
        names = watch.taken() | watch.blind
        sources = [it for it in self._sources if everything or it.name in names]
        if everything:
            self._swept = trio.current_time()
        await self._look(sources)
        for source in sources:
            await in_thread(partial(watch.follow, source.name, source.directories()))

    async def _look(self, sources: Collection[Source], least: int | None = None) -> None:
        for source in sources:
            await self._scan(source)
        found = [(source, it) for source in self._sources for it in self._found[source.name]]
        chosen = await in_thread(partial(self._chosen, found))
        agents = await in_thread(partial(self._active.saw, [it for _, it in chosen]))
        for source, session in chosen:
            self._take(source, session, agents.get(_name(session)))
        least = self._wanted.least if least is None else least
        now = trio.current_time()
        queue = iter([it for it in self._tails.values() if it.due_at(least) <= now])

        async def work() -> None:
            for tail in queue:
                await _stored(tail, least)

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(work)

    async def _scan(self, source: Source) -> None:
        try:
            sessions = await in_thread(partial(source.sessions, self._wanted.root))
        except OSError as error:
            log.warning("the sessions of %s cannot be looked through now: %s", source.name, error)
            sessions = self._found.get(source.name, [])
        self._found[source.name] = sessions

    def _chosen(self, found: Sequence[Found]) -> Sequence[Found]:
        wanted = self._wanted
        if wanted.session_id is not None:
            found = [it for it in found if it[1].id == wanted.session_id]
        elif wanted.newest:
            # It stays the one, though another begins meanwhile.
            self._newest = self._newest or _newest([it for _, it in found])
            family = self._family(found)
            found = [it for it in found if _name(it[1]) in family]
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

    def _take(self, source: Source, session: Session, agent: AgentId | None) -> None:
        name = _name(session)
        tail = self._tails.get(name)
        if tail is not None:
            tail.session = session
            if agent is not None:
                tail.of_agent(agent)
            return
        origin = Origin(
            source_path=session.source,
            cwd=session.cwd,
            agent_id=agent or self._project.agent,
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
