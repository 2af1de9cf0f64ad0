"""Which session each agent is in: the one that it wrote to last.

Knows nothing of documents: whoever is told puts it where others look. It costs no request, and
looks at nothing but the sessions that changed.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, final

from tcfs.mirror.sources import Session
from tcfs.wire.ids import AgentId

LATELY: Final = 300_000_000_000  # nanoseconds: as long as an agent is active without a heartbeat

Name = tuple[str, str]


@final
class Active:
    """Learns from each look through the sources. Blocking code, for one worker thread at a time.

    `tell` is told the session of an agent, as `harness/id`, whenever it is another. `whose` tells
    which agent works in a directory, as far as anybody knows; else it is `agent`.
    """

    def __init__(
        self,
        tell: Callable[[AgentId, str], None],
        agent: AgentId,
        whose: Callable[[str], AgentId | None],
    ) -> None:
        self._tell = tell
        self._agent = agent
        self._whose = whose
        self._stamps: dict[Name, tuple[Any, ...]] = {}
        self._written: dict[AgentId, tuple[int, str, Name]] = {}

    def saw(self, sessions: Iterable[Session]) -> Mapping[Name, AgentId]:
        """Take note of the sessions there are; return whose those are that changed."""
        known = {(it.harness, it.id): it for it in sessions}
        changed: dict[Name, AgentId] = {}
        for name, session in known.items():
            before = self._stamps.get(name)
            if before == session.stamp:
                continue
            self._stamps[name] = session.stamp
            root = _root(session, known)
            agent = (self._whose(root.cwd) if root.cwd is not None else None) or self._agent
            changed[name] = agent
            written = _written(session, grew=before is not None)
            if written is not None:
                # A subagent's words are its session's.
                when = (written, root.started_at or "", (root.harness, root.id))
                self._written[agent] = max(when, self._written.get(agent, when))
        for agent in set(changed.values()) & set(self._written):
            harness, id = self._written[agent][2]
            self._tell(agent, f"{harness}/{id}")
        return changed


def _root(session: Session, known: Mapping[Name, Session]) -> Session:
    """Return the session that one belongs to, however far up."""
    seen = set[str]()
    while session.parent is not None and session.id not in seen:
        seen.add(session.id)
        above = known.get((session.harness, session.parent))
        if above is None:
            break
        session = above
    return session


def _written(session: Session, *, grew: bool) -> int | None:
    """Return when a session was written to, in nanoseconds; None: not lately, or unknown."""
    now = time.time_ns()
    if session.entry is not None:
        # A database's time is that of all its sessions.
        return now if grew else None
    try:
        at = session.path.stat().st_mtime_ns
    except OSError:
        return None
    return at if grew or now - at < LATELY else None
