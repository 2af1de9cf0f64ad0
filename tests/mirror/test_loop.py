"""The loop: which sessions it takes, what it does when something goes wrong, and how it ends."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trio

from tcfs.mirror import _tail as tail_module
from tcfs.mirror import loop as loop_module
from tcfs.mirror.kept import Kept
from tcfs.mirror.loop import INTERVAL, Loop, Wanted
from tcfs.mirror.sources import LIMIT, Batch, Cursor, Session, Unavailable
from tcfs.project import Project
from tcfs.project.sessions import Session as Mirrored
from tcfs.stores import NotFound
from tests.memory_store import Fault, MemoryStore
from tests.project.mirrors import reference_mirrors
from tests.project.parties import B, mounted

SECRET = "sk-ant-api03-" + "aB3d" * 12


@dataclass
class Harness:
    """A harness whose sessions a test writes; a cursor is how many bytes came before."""

    texts: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    read_from: list[tuple[str, int]] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    unforeseen: set[str] = field(default_factory=set)
    rewriting: int = 0
    name: str = "claude-code"

    def says(self, session: str, *lines: str) -> None:
        self.texts[session] = self.texts.get(session, "") + "".join(f"{it}\n" for it in lines)

    def sessions(self, root: Path | None = None) -> list[Session]:
        return [
            Session(
                self.name,
                it,
                Path(f"/nowhere/{it}"),
                cwd="/srv/app",
                started_at=str(number),
                parent=self.parents.get(it),
                client="2.1.0",
                stamp=(len(text), self.rewriting),
            )
            for number, (it, text) in enumerate(self.texts.items())
        ]

    def read(self, session: Session, cursor: Cursor | None, limit: int = LIMIT) -> Batch:
        if session.id in self.away:
            raise Unavailable("its database is locked")
        if session.id in self.unforeseen:
            raise ZeroDivisionError
        restarted = cursor is not None and cursor["rewriting"] != self.rewriting
        at = cursor["at"] if cursor is not None and not restarted else 0
        self.read_from.append((session.id, at))
        found: list[bytes] = []
        for line in self.texts[session.id][at:].splitlines(keepends=True):
            if found and sum(map(len, found)) + len(line) > limit:
                break
            found.append(line.encode())
        after = at + sum(map(len, found))
        return Batch(found, {"at": after, "rewriting": self.rewriting}, restarted)

    def resume(self, session: Session, at: int) -> Cursor | None:
        text = self.texts[session.id]
        whole = at <= len(text) and text[:at].endswith("\n")
        return {"at": at, "rewriting": self.rewriting} if whole else None

    def directories(self) -> set[Path]:
        return set()


@asynccontextmanager
async def looped(
    store: MemoryStore,
    state: Path,
    harness: Harness,
    wanted: Wanted | None = None,
    *,
    redact: bool = True,
    **how: Any,
) -> AsyncIterator[Loop]:
    async with mounted(store, state, **how) as project:
        yield made(project, state, harness, wanted, redact=redact)


def made(
    project: Project,
    state: Path,
    harness: Harness,
    wanted: Wanted | None = None,
    *,
    redact: bool = True,
) -> Loop:
    kept = Kept(state / "redaction", lambda: ["correct horse battery"]) if redact else None
    return Loop(project, [harness], wanted or Wanted(None), kept)


async def shown(store: MemoryStore, session: str, state: Path) -> str:
    async with mounted(store.other(), state / "reader", B) as project:
        sessions = project.sessions
        found = await sessions.transcript(Mirrored("claude-code", session))
        return b"".join(await sessions.read(found, 0, found.size)).decode()


@pytest.fixture
def clock(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> trio.testing.MockClock:
    """A clock that goes on only when nobody works: it cannot see what threads do."""

    async def at_once(function: Callable[[], Any]) -> Any:
        await trio.lowlevel.checkpoint()
        return function()

    monkeypatch.setattr(loop_module, "in_thread", at_once)
    monkeypatch.setattr(tail_module, "in_thread", at_once)
    return autojump_clock


def states(loop: Loop) -> dict[str, str]:
    return {it.session.id: it.progress.state for it in loop.rows()}


def asked(store: MemoryStore) -> Sequence[str]:
    return [verb for verb, key in store.requests if key.startswith("sessions/")]


async def test_what_is_new_in_each_session_is_stored(tmp_path: Path) -> None:
    store, harness = MemoryStore(), Harness()
    harness.says("x", "one")
    harness.says("y", "uno")
    async with looped(store, tmp_path, harness) as loop:
        await loop.look()
        harness.says("x", "two")
        harness.says("z", "late")
        await loop.look()
        assert [await shown(store, it, tmp_path) for it in "xyz"] == [
            "one\ntwo\n",
            "uno\n",
            "late\n",
        ]
        assert states(loop) == {"x": "idle", "y": "idle", "z": "idle"}
        (first, *_) = loop.rows()
        assert (first.progress.lines, first.progress.source_bytes) == (2, 8)
        assert (first.source, first.cwd) == ("/nowhere/x", "/srv/app")


async def test_idle_costs_no_request_and_no_read(tmp_path: Path) -> None:
    store, harness = MemoryStore(), Harness()
    for number in range(100):
        harness.says(f"s{number}", "one")
    async with looped(store, tmp_path, harness) as loop:
        await loop.look()
        store.requests.clear()
        harness.read_from.clear()
        for _ in range(10):
            await loop.look()
        assert (asked(store), harness.read_from) == ([], [])
        harness.says("s7", "two")
        await loop.look()
        assert asked(store) == ["PUT", "PUT"]


async def test_a_part_has_1_mib_at_most(tmp_path: Path) -> None:
    store, harness = MemoryStore(), Harness()
    harness.says("x", *(f"{it:0999}" for it in range(2500)))
    async with looped(store, tmp_path, harness, redact=False) as loop:
        await loop.look()
    parts = [len(store.body(it) or b"") for it in store.stored() if "/part-" in it]
    assert parts == [1_048_000, 1_048_000, 404_000]
    assert await shown(store, "x", tmp_path) == harness.texts["x"]


async def test_secrets_are_taken_out_and_counted(tmp_path: Path) -> None:
    store, harness = MemoryStore(), Harness()
    harness.says("x", f"a {SECRET}", "with correct horse battery", f"b {SECRET}")
    async with looped(store, tmp_path, harness) as loop:
        await loop.look()
        text = await shown(store, "x", tmp_path)
        assert "sk-ant" not in text
        assert "horse" not in text
        async with mounted(store.other(), tmp_path / "reader", B) as project:
            ((_, meta),) = await project.sessions.every()
    assert sum(meta.redaction_counts.values()) == 3
    assert meta.total_source_bytes == len(harness.texts["x"])
    assert meta.total_uploaded_bytes == len(text)


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost"])
async def test_what_was_seen_before_a_restart_is_taken_out_after_it(
    tmp_path: Path, lost: bool
) -> None:
    """By what is kept on this host, or else by what the source says from its start."""
    store, harness = MemoryStore(), Harness()
    value = "9f8Kq2LxWb7TzR4vNcYp"
    harness.says("x", f"password={value}")
    async with looped(store, tmp_path, harness) as loop:
        await loop.end()
    if lost:
        for seen in (tmp_path / "redaction").glob("*.seen"):
            seen.unlink()
    harness.says("x", f"and plainly {value}")
    async with looped(store.other(), tmp_path, harness) as loop:
        await loop.end()
    text = await shown(store, "x", tmp_path)
    assert value not in text
    assert text.count("[REDACTED:") == 2


async def test_what_is_kept_holds_no_secret_and_is_this_user_s(tmp_path: Path) -> None:
    store, harness = MemoryStore(), Harness()
    harness.says("x", f"a {SECRET}")
    async with looped(store, tmp_path, harness) as loop:
        await loop.end()
    directory = tmp_path / "redaction"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "key").stat().st_mode & 0o777 == 0o600
    (seen,) = directory.glob("*.seen")
    assert seen.read_text().count("\n") == 1
    assert SECRET not in seen.read_text()
    assert SECRET[13:25] not in seen.read_text()


async def test_one_that_cannot_be_read_keeps_no_other_back(
    tmp_path: Path, clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store, harness = MemoryStore(), Harness()
    for name in ("bad", "worse", "x"):
        harness.says(name, name)
    harness.away, harness.unforeseen = {"bad"}, {"worse"}
    async with looped(store, tmp_path, harness) as loop:
        await loop.look()
        assert await shown(store, "x", tmp_path) == "x\n"
        assert "database is locked" in states(loop)["bad"]
        assert "bug" in states(loop)["worse"]
        assert "ZeroDivisionError" in caplog.text
        caplog.clear()
        harness.away, harness.unforeseen = set(), set()
        await trio.sleep(60)
        await loop.look()
        assert await shown(store, "bad", tmp_path) == "bad\n"
        assert await shown(store, "worse", tmp_path) == "worse\n"
        assert [it.progress.failed for it in loop.rows()] == [False, False, False]


async def test_what_the_store_refuses_is_tried_again(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    store, harness = MemoryStore(), Harness()
    harness.says("x", "one")
    async with looped(store, tmp_path, harness) as loop:
        store.fail("sessions/*", Fault.DENIED)
        await loop.look()
        assert "access denied" in states(loop)["x"]
        assert loop.rows()[0].progress.failed
        await trio.sleep(60)
        await loop.look()
        assert await shown(store, "x", tmp_path) == "one\n"


async def test_two_loops_do_not_double_and_the_other_goes_on(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    store, harness = MemoryStore(), Harness()
    store.tell_time()
    harness.says("x", "one")
    other = store.other()
    async with (
        looped(store, tmp_path / "a", harness) as loop,
        looped(other, tmp_path / "b", harness, agent=B) as second,
    ):
        await loop.look()
        harness.says("x", "two")
        other.requests.clear()
        for _ in range(10):
            await second.look()
        assert "mirrored by a on host-a" in states(second)["x"]
        assert not second.rows()[0].progress.failed
        assert asked(other) == ["GET"]  # once a lease, whatever number of looks
        await trio.sleep(200)
        await second.look()
        harness.says("x", "three")
        await loop.look()
        assert "mirrored by b" in states(loop)["x"]
        await second.look()
    assert await shown(store, "x", tmp_path) == "one\ntwo\nthree\n"


async def test_a_rewritten_source_is_shown_as_it_is(tmp_path: Path) -> None:
    store, harness = MemoryStore(), Harness()
    harness.says("x", "one", "two")
    async with looped(store, tmp_path, harness) as loop:
        await loop.look()
        harness.texts["x"], harness.rewriting = "uno\n", 1
        await loop.look()
        harness.says("x", "dos")
        await loop.look()
        assert await shown(store, "x", tmp_path) == "uno\ndos\n"


async def test_an_ended_session_is_left_alone(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    store, harness = MemoryStore(), Harness()
    harness.says("x", "one")
    async with mounted(store, tmp_path) as project:
        loop = made(project, tmp_path, harness)
        await loop.look()
        await project.mirrors.stop(Mirrored("claude-code", "x"))
        for _ in range(3):
            harness.says("x", "two")
            await loop.look()
            await trio.sleep(60)
        assert "was ended" in states(loop)["x"]
        assert await shown(store, "x", tmp_path) == "one\n"


async def test_what_the_reference_began_is_gone_on_with_where_the_source_is_the_same(
    tmp_path: Path,
) -> None:
    for begun, generation in (("one\n", 1), ("on", 2)):
        store, harness = MemoryStore(), Harness()
        here = "0f9c3a52"  # what tests.project.mirrors writes
        reference_mirrors(store, 0, begun, "aaaaaaaa")
        harness.says(here, "one", "two")
        async with looped(store, tmp_path, harness) as loop:
            await loop.look()
        assert await shown(store, here, tmp_path) == "one\ntwo\n"
        async with mounted(store.other(), tmp_path / "reader", B) as project:
            ((_, meta),) = await project.sessions.every()
        assert meta.generation == generation


# which


async def test_the_newest_stays_the_one_and_brings_what_belongs_to_it(tmp_path: Path) -> None:
    store, harness = MemoryStore(), Harness()
    for name in ("old", "new", "sub", "subsub"):
        harness.says(name, name)
    harness.parents = {"sub": "new", "subsub": "sub"}
    async with looped(store, tmp_path, harness, Wanted(None, newest=True)) as loop:
        await loop.look()
        assert set(states(loop)) == {"new", "sub", "subsub"}
        harness.says("newer", "newer")
        await loop.look()
        assert set(states(loop)) == {"new", "sub", "subsub"}


async def test_little_waits_until_there_is_more_or_the_end(tmp_path: Path) -> None:
    store, harness = MemoryStore(), Harness()
    harness.says("x", "one")
    async with looped(store, tmp_path, harness, Wanted(None, least=6)) as loop:
        await loop.look()
        assert "PUT" not in asked(store)
        harness.says("x", "two")
        await loop.look()
        assert await shown(store, "x", tmp_path) == "one\ntwo\n"
        harness.says("x", "3")
        await loop.look()
        assert await shown(store, "x", tmp_path) == "one\ntwo\n"
        await loop.end()
        assert await shown(store, "x", tmp_path) == "one\ntwo\n3\n"


# running


async def test_it_looks_every_interval_and_stores_what_is_new_when_it_ends(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    store, harness = MemoryStore(), Harness()
    async with looped(store, tmp_path, harness) as loop, trio.open_nursery() as nursery:
        nursery.start_soon(loop.run)
        for number, text in enumerate(("one", "two"), 1):
            harness.says("x", text)
            await trio.sleep(INTERVAL * 1.5)
            assert loop.rows()[0].progress.lines == number
        harness.says("x", "three")
        nursery.cancel_scope.cancel()
    assert await shown(store, "x", tmp_path) == "one\ntwo\nthree\n"
    # It let go: the next goes on at once.
    harness.says("x", "four")
    async with looped(store.other(), tmp_path, harness, agent=B) as loop:
        await loop.end()
    assert await shown(store, "x", tmp_path) == "one\ntwo\nthree\nfour\n"


async def test_a_store_that_is_away_does_not_hold_up_the_end(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    store, harness = MemoryStore(), Harness()
    harness.says("x", "one")
    async with looped(store, tmp_path, harness) as loop:
        await loop.look()
        store.fail("sessions/*", Fault.REFUSED, times=10_000)
        harness.says("x", "two")
        before = trio.current_time()
        with trio.move_on_after(1):
            await loop.run()
        assert trio.current_time() - before <= 12
        store._scripts.clear()


async def test_names_that_are_no_key_are_left_out(tmp_path: Path) -> None:
    store, harness = MemoryStore(), Harness()
    harness.says("a/b", "one")
    harness.says("x", "one")
    async with looped(store, tmp_path, harness) as loop:
        await loop.look()
        assert set(states(loop)) == {"x"}
    with pytest.raises(NotFound):
        await store.get("sessions/claude-code/a/b/meta.json")


async def test_a_store_that_does_not_compare_is_refused(tmp_path: Path) -> None:
    store, harness = MemoryStore(), Harness()
    store.capabilities = replace(store.capabilities, replace=False)
    harness.says("x", "one")
    async with looped(store, tmp_path, harness) as loop:
        await loop.look()
        assert loop.rows() == []
        assert "without comparing" in (loop.refused[0] if loop.refused else "")
