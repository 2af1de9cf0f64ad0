"""When the loop looks: at once after a quiet time, once an interval at most, else hardly ever.

Time stands still but for what a test lets pass, so that nothing here is due to a timer.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from inotify_simple import INotify
from trio.testing import MockClock, wait_all_tasks_blocked

from tcfs.mirror import _tail as tail_module
from tcfs.mirror import loop as loop_module
from tcfs.mirror.loop import GATHER, INTERVAL, SWEEP, Loop, Wanted
from tcfs.mirror.sources import HARNESSES, Session, source
from tcfs.mirror.sources._transcripts import Transcripts
from tests.memory_store import MemoryStore
from tests.mirror.homes import (
    CWD,
    OPENS,
    HermesDatabase,
    OpenClawDatabase,
    append,
    claude_lines,
    codex_lines,
    dump,
    rollout,
    write,
)
from tests.project.parties import mounted

LINE = dump({"type": "user", "cwd": CWD})


@pytest.fixture
def autojump_clock(monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """A clock that a test moves on; what is done in threads is done at once."""

    async def at_once(function: Callable[[], Any]) -> Any:
        await trio.lowlevel.checkpoint()
        return function()

    monkeypatch.setattr(loop_module, "in_thread", at_once)
    monkeypatch.setattr(tail_module, "in_thread", at_once)
    return MockClock()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the sources as they are looked through."""
    done: list[str] = []
    scan = Loop._scan

    async def counted(self: Loop, source: Any) -> None:
        done.append(source.name)
        await scan(self, source)

    monkeypatch.setattr(Loop, "_scan", counted)
    return done


class Running:
    """A loop that runs, on a clock that stands."""

    def __init__(self, loop: Loop, store: MemoryStore, clock: MockClock) -> None:
        self.loop, self.store, self._clock = loop, store, clock

    async def after(self, seconds: float) -> None:
        """Let time pass, and all be done that is due by then."""
        self._clock.jump(seconds)
        await wait_all_tasks_blocked()

    async def quiet(self) -> None:
        """Let the first looks pass, until everything is stored and watched."""
        await wait_all_tasks_blocked()
        for _ in range(2):
            await self.after(INTERVAL)
            await self.after(GATHER)
        await self.after(INTERVAL)
        self.store.requests.clear()

    def lines(self, session: str) -> int:
        (row,) = (it for it in self.loop.rows() if it.session.id == session)
        return row.progress.lines

    def puts(self) -> int:
        asked = [it for it in self.store.requests if it[1].startswith("sessions/")]
        assert all(verb == "PUT" for verb, _ in asked)
        return len(asked)


@asynccontextmanager
async def running(
    tmp_path: Path, clock: MockClock, *names: str, interval: float = INTERVAL
) -> AsyncIterator[Running]:
    store = MemoryStore()
    sources = [source(it, {"HOME": str(tmp_path)}) for it in names or HARNESSES]
    async with mounted(store, tmp_path / "state") as project, trio.open_nursery() as nursery:
        loop = Loop(project, sources, Wanted(None, interval=interval), None)
        nursery.start_soon(loop.run)
        yield Running(loop, store, clock)
        nursery.cancel_scope.cancel()


def claude(tmp_path: Path, session: str) -> Path:
    path = tmp_path / ".claude" / "projects" / "-p" / f"{session}.jsonl"
    return path if path.exists() else write(path, claude_lines(session, CWD))


async def test_a_line_in_a_quiet_time_is_stored_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A line that comes after a quiet time is stored at once, what follows it once in 5 s."""
    path = claude(tmp_path, "x")
    async with running(tmp_path, autojump_clock) as it:
        await it.quiet()
        before = it.lines("x")
        append(path, LINE)
        await wait_all_tasks_blocked()
        append(path, LINE)  # what follows at once is gathered
        await it.after(GATHER)
        assert (it.lines("x"), it.puts()) == (before + 2, 2)


async def test_lines_that_keep_coming_are_stored_once_an_interval(
    tmp_path: Path, autojump_clock: MockClock, looks: list[str]
) -> None:
    path = claude(tmp_path, "x")
    async with running(tmp_path, autojump_clock, "claude-code") as it:
        await it.quiet()
        looks.clear()
        begun, before = trio.current_time(), it.lines("x")
        for _ in range(100):
            append(path, LINE)
            await it.after(INTERVAL / 10)
        took = trio.current_time() - begun
        assert 2 * (took // (INTERVAL + GATHER)) <= it.puts() <= 2 * (took // INTERVAL + 1)
        assert len(looks) == it.puts() // 2
        await it.after(INTERVAL)
        await it.after(GATHER)
        assert it.lines("x") == before + 100


async def test_a_line_just_after_a_flush_is_stored_within_the_interval(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = claude(tmp_path, "x")
    async with running(tmp_path, autojump_clock) as it:
        await it.quiet()
        append(path, LINE)
        await wait_all_tasks_blocked()
        await it.after(GATHER)
        before = it.lines("x")
        append(path, LINE)
        await it.after(INTERVAL - 0.1)
        assert it.lines("x") == before
        await it.after(0.1)
        await it.after(GATHER)
        assert it.lines("x") == before + 1


async def test_a_session_that_begins_is_found_at_once(
    tmp_path: Path, autojump_clock: MockClock, looks: list[str]
) -> None:
    claude(tmp_path, "x")
    async with running(tmp_path, autojump_clock, "claude-code", "codex") as it:
        await it.quiet()
        looks.clear()
        claude(tmp_path, "y")
        await wait_all_tasks_blocked()
        await it.after(GATHER)
        assert it.lines("y") == 3
        assert looks == ["claude-code"]


def openclaw(home: Path) -> OpenClawDatabase:
    made = OpenClawDatabase(home / ".openclaw")
    made.session("x", CWD)
    return made


def hermes(home: Path) -> HermesDatabase:
    made = HermesDatabase(home / ".hermes")
    made.session("x", CWD)
    made.add("x", "one")
    return made


NEW = {
    "claude-code": lambda home: claude(home, "x"),
    "codex": lambda home: write(
        home / ".codex" / "sessions" / "2026" / "11" / "22" / rollout("x"), codex_lines("x", CWD)
    ),
    "openclaw": openclaw,
    "hermes": hermes,
    "gemini-cli": lambda home: write(
        home / ".gemini" / "tmp" / "p" / "chats" / "session-1.jsonl",
        dump({"sessionId": "x", "projectHash": "5f2c"}),
    ),
    "qwen-code": lambda home: write(
        home / ".qwen" / "projects" / "-p" / "chats" / "x.jsonl",
        dump({"sessionId": "x", "cwd": CWD}),
    ),
    "copilot-cli": lambda home: write(
        home / ".copilot" / "session-state" / "x" / "events.jsonl",
        dump({"type": "session.start", "data": {"context": {"cwd": CWD}}}),
    ),
    "pi": lambda home: write(
        home / ".pi" / "agent" / "sessions" / "--p--" / "1_x.jsonl",
        dump({"type": "session", "id": "x", "cwd": CWD}),
    ),
}


@pytest.mark.parametrize("name", HARNESSES)
async def test_a_harness_that_is_used_for_the_first_time_is_found(
    tmp_path: Path, autojump_clock: MockClock, name: str
) -> None:
    async with running(tmp_path, autojump_clock, name) as it:
        await it.quiet()
        assert it.loop.rows() == []
        begun = trio.current_time()
        made = NEW[name](tmp_path)
        await wait_all_tasks_blocked()
        await it.after(GATHER)
        # Directories below the new ones were not watched while they were made.
        await it.after(INTERVAL)
        await it.after(GATHER)
        assert len(it.loop.rows()) == 1
        assert trio.current_time() - begun < SWEEP / 2
        del made


@pytest.mark.parametrize("name", ["openclaw", "hermes"])
async def test_a_database_announces_each_transaction(
    tmp_path: Path, autojump_clock: MockClock, name: str
) -> None:
    made = openclaw(tmp_path) if name == "openclaw" else hermes(tmp_path)
    session = "main__x" if name == "openclaw" else "x"
    async with running(tmp_path, autojump_clock, name) as it:
        await it.quiet()
        for number in range(2, 5):
            if isinstance(made, HermesDatabase):
                made.add("x", "more")
            else:
                made.add("x", {"type": "message"})
            await wait_all_tasks_blocked()
            await it.after(GATHER)
            assert it.lines(session) == number
            await it.after(INTERVAL)


async def test_a_file_that_is_a_link_announces_what_is_written_elsewhere(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    real = write(tmp_path / "elsewhere" / "x.jsonl", claude_lines("x", CWD))
    link = tmp_path / ".claude" / "projects" / "-p" / "x.jsonl"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    async with running(tmp_path, autojump_clock, "claude-code") as it:
        await it.quiet()
        append(real, LINE)
        await wait_all_tasks_blocked()
        await it.after(GATHER)
        assert it.lines("x") == 4


async def test_a_large_output_that_has_ended_is_found_by_its_age(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    claude(tmp_path, "x")
    text = write(tmp_path / ".claude/projects/-p/x/tool-results/b.txt", b"no newline at the end")
    async with running(tmp_path, autojump_clock, "claude-code") as it:
        await it.quiet()
        assert it.lines("x__b.txt") == 0
        # Older, and nothing tells so: the change itself is one of the file's age.
        old = text.stat().st_mtime - 3600
        os.utime(text, (old, old))
        await it.after(GATHER)
        await it.after(SWEEP)
        assert it.lines("x__b.txt") == 1


async def test_idle_sessions_cost_no_request_no_look_and_no_file(
    tmp_path: Path, autojump_clock: MockClock, looks: list[str]
) -> None:
    for number in range(1000):
        claude(tmp_path, f"s{number}")
    for name in HARNESSES:
        NEW[name](tmp_path)
    async with running(tmp_path, autojump_clock) as it:
        await it.quiet()
        looks.clear()
        with OPENS.counted() as opened:
            for _ in range(int(SWEEP / INTERVAL) - 4):
                await it.after(INTERVAL)
        assert (it.store.requests, looks, opened) == ([], [], [])


async def test_the_sweep_of_idle_sessions_opens_none_and_asks_for_nothing(
    tmp_path: Path, autojump_clock: MockClock, looks: list[str]
) -> None:
    for number in range(100):
        claude(tmp_path, f"s{number}")
    async with running(tmp_path, autojump_clock) as it:
        await it.quiet()
        looks.clear()
        with OPENS.counted() as opened:
            for _ in range(3):
                await it.after(SWEEP)
                await it.after(INTERVAL)
        assert sorted(looks) == sorted([*HARNESSES] * 3)
        assert [it for it in opened if it.endswith(".jsonl")] == []
        assert it.store.requests == []


async def test_where_nothing_can_be_watched_it_looks_once_an_interval(
    tmp_path: Path,
    autojump_clock: MockClock,
    looks: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refused(self: INotify, path: Path, mask: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(INotify, "add_watch", refused)
    path = claude(tmp_path, "x")
    async with running(tmp_path, autojump_clock, "claude-code", "codex") as it:
        await it.quiet()
        looks.clear()
        for number in range(4, 8):
            append(path, LINE)
            await it.after(INTERVAL)
            assert it.lines("x") == number
        assert looks == ["claude-code", "codex"] * 4
    assert caplog.text.count("can be watched") == 1


async def test_what_failed_is_tried_again_with_no_news(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = claude(tmp_path, "x")
    async with running(tmp_path, autojump_clock, "claude-code") as it:
        await it.quiet()
        path.chmod(0o000)
        with monkeypatch.context() as patch:
            # root reads what nobody may.
            patch.setattr(Transcripts, "read", _unreadable)
            append(path, LINE)
            await wait_all_tasks_blocked()
            await it.after(GATHER)
        assert "cannot be read now" in it.loop.rows()[0].progress.state
        await it.after(INTERVAL)
        await it.after(tail_module.RETRY)
        await it.after(0)
        assert it.lines("x") == 4


def _unreadable(self: Transcripts, session: Session, *_: object) -> None:
    raise PermissionError(13, "Permission denied")


async def test_a_bug_in_a_look_is_not_the_end_and_nothing_is_missed(
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = claude(tmp_path, "x")
    async with running(tmp_path, autojump_clock, "claude-code") as it:
        await it.quiet()
        with monkeypatch.context() as patch:
            patch.setattr(Loop, "_chosen", lambda self, found: 1 / 0)
            append(path, LINE)
            await wait_all_tasks_blocked()
            await it.after(GATHER)
        assert "ZeroDivisionError" in caplog.text
        caplog.clear()
        assert it.lines("x") == 3
        await it.after(INTERVAL)
        assert it.lines("x") == 4


async def test_it_ends_at_once_whatever_it_waits_for(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    claude(tmp_path, "x")
    for waits in (0, INTERVAL, INTERVAL + GATHER):
        async with running(tmp_path, autojump_clock) as it:
            await wait_all_tasks_blocked()
            await it.after(waits)
            begun = trio.current_time()
        assert trio.current_time() == begun
