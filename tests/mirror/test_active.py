"""Which session each agent is in."""

import os
import time
from pathlib import Path

import pytest

from tcfs.mirror.active import LATELY, Active
from tcfs.mirror.loop import Loop, Wanted
from tcfs.mirror.sources import Session, source
from tcfs.wire.ids import AgentId
from tests.memory_store import MemoryStore
from tests.mirror.homes import append, claude_lines, write
from tests.project.parties import A, B, mounted, present

CWD = "/srv/app"
ELSEWHERE = "/srv/web"


class Looks:
    """Sessions that a test writes to, and what is told of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.told: dict[AgentId, str] = {}
        self.asked: list[str] = []
        self._sessions: dict[str, Session] = {}
        self.active = Active(self.told.__setitem__, A, self._whose)

    def _whose(self, directory: str) -> AgentId | None:
        self.asked.append(directory)
        return B if directory == ELSEWHERE else None

    def says(
        self,
        id: str,
        cwd: str | None = CWD,
        parent: str | None = None,
        ago: float = 0,
        entry: str | None = None,
    ) -> None:
        path = self.directory / ("db" if entry else id)
        append(path, b"x")
        at = time.time_ns() - int(ago * 1e9)
        os.utime(path, ns=(at, at))
        stamp = (path.stat().st_size,)
        found = Session("codex", id, path, entry, cwd, started_at=id, parent=parent, stamp=stamp)
        self._sessions[id] = found

    def look(self) -> dict[AgentId, str]:
        self.active.saw(self._sessions.values())
        return self.told


@pytest.fixture
def looks(tmp_path: Path) -> Looks:
    return Looks(tmp_path)


def test_an_agent_is_in_the_session_it_wrote_to_last(looks: Looks) -> None:
    looks.says("1", ago=20)
    looks.says("2", ago=10)
    assert looks.look() == {A: "codex/2"}
    looks.says("1", ago=5)
    assert looks.look() == {A: "codex/1"}
    # What follows late, as of a tool's output that has ended, changes nothing.
    looks.says("2", ago=8)
    assert looks.look() == {A: "codex/1"}


def test_what_was_written_long_ago_is_no_live_session(looks: Looks) -> None:
    looks.says("old", ago=LATELY / 1e9 + 5)
    assert looks.look() == {}
    looks.says("old")
    assert looks.look() == {A: "codex/old"}


def test_a_session_of_a_database_is_live_once_it_grows(looks: Looks) -> None:
    looks.says("1", entry="1")
    looks.says("2", entry="2")
    assert looks.look() == {}
    looks.says("1", entry="1")
    assert looks.look() == {A: "codex/1"}


def test_what_a_subagent_writes_is_its_sessions(looks: Looks) -> None:
    looks.says("1", ago=20)
    looks.says("2", ago=10)
    looks.says("subsub", cwd=None, parent="sub")
    looks.says("sub", cwd=None, parent="1", ago=15)
    assert looks.look() == {A: "codex/1"}


def test_parents_that_go_round_end(looks: Looks) -> None:
    looks.says("1", parent="2")
    looks.says("2", parent="1")
    assert set(looks.look()) == {A}


def test_whose_a_directory_is_decides_and_is_asked_for_what_changed_only(looks: Looks) -> None:
    looks.says("1")
    looks.says("2", cwd=ELSEWHERE)
    assert looks.look() == {A: "codex/1", B: "codex/2"}
    looks.asked.clear()
    looks.look()
    assert looks.asked == []
    looks.says("2", cwd=ELSEWHERE)
    looks.look()
    assert looks.asked == [ELSEWHERE]


@pytest.mark.usefixtures("autojump_clock")
async def test_a_mirrored_session_names_its_agent_and_the_agent_its_session(tmp_path: Path) -> None:
    """`agent_id` in `meta.json` is the agent that works in the session's directory."""
    store, whose = MemoryStore(), {ELSEWHERE: B}
    project_of = tmp_path / ".claude" / "projects" / "any"
    write(project_of / "one.jsonl", claude_lines("one", CWD))
    two = write(project_of / "two.jsonl", claude_lines("two", ELSEWHERE))
    sources = [source("claude-code", {"HOME": str(tmp_path)})]
    async with mounted(store, tmp_path / "state") as project:
        await project.present()
        await project.agents.register(B)
        loop = Loop(project, sources, Wanted(None), None, whose.get)
        await loop.look()
        metas = {it.id: meta.agent_id for it, meta in await project.sessions.every()}
        assert metas == {"one": A, "two": B}
        await project.agents.beat({})
        assert present(store, "agents/a.json")["session"] == "claude-code/one"
        assert present(store, "agents/b.json")["session"] == "claude-code/two"
        # Somebody else goes on with it.
        whose.clear()
        append(two, claude_lines("two", ELSEWHERE))
        await loop.look()
        metas = {it.id: meta.agent_id for it, meta in await project.sessions.every()}
        assert metas == {"one": A, "two": A}
        await loop.end()
