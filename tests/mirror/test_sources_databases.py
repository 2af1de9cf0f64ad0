"""OpenClaw and Hermes: databases that somebody else is writing to."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tcfs.mirror.sources import Source, Unavailable, source
from tcfs.mirror.sources._sqlite import Busy, reading
from tests.mirror.homes import (
    CWD,
    OPENS,
    OTHER,
    HermesDatabase,
    OpenClawDatabase,
    around,
    database,
    dump,
    ids,
    one,
    read_all,
    write,
)

A = "d35b5a8d-abdb-44fe-a2e1-bf96b7bb44c5"
B = "20261122_102034_d3bca0"
C = "20261122_102045_e83a0c"


# any database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "state.db"


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    path.parent.mkdir()
    with closing(database(path)) as connection:
        connection.execute("CREATE TABLE t (n)")
        connection.execute("INSERT INTO t VALUES (1)")
        yield connection


def _numbers(path: Path) -> list[int]:
    with reading(path) as connection:
        return [row["n"] for row in connection.execute("SELECT n FROM t ORDER BY n")]


def test_what_is_committed_to_the_wal_is_read_and_nothing_is_touched(
    path: Path, writer: sqlite3.Connection
) -> None:
    assert {it.name for it in path.parent.iterdir()} == {"state.db", "state.db-wal", "state.db-shm"}
    before = around(path)
    assert _numbers(path) == [1]
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO t VALUES (2)")
    assert _numbers(path) == [1]
    writer.execute("COMMIT")
    assert around(path) != before
    before = around(path)
    assert _numbers(path) == [1, 2]
    assert around(path) == before


def test_a_reader_holds_no_writer_up(path: Path, writer: sqlite3.Connection) -> None:
    with reading(path) as connection:
        writer.execute("INSERT INTO t VALUES (2)")
        assert connection.execute("SELECT COUNT(*) FROM t").fetchone()[0] == 1
    assert writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert _numbers(path) == [1, 2]


def test_a_closed_database_is_read_with_nothing_left_beside_it(
    path: Path, writer: sqlite3.Connection
) -> None:
    writer.close()
    before = around(path)
    assert set(before) == {"state.db"}
    assert _numbers(path) == [1]
    assert around(path) == before


def test_a_database_whose_owner_died_is_read_from_its_wal(
    path: Path, writer: sqlite3.Connection, tmp_path: Path
) -> None:
    dead = tmp_path / "dead" / path.name
    shutil.copytree(path.parent, dead.parent)
    before = around(dead)
    assert _numbers(dead) == [1]
    assert around(dead) == before


def test_a_wal_without_its_index_waits_for_its_owner(
    path: Path, writer: sqlite3.Connection, tmp_path: Path
) -> None:
    dead = tmp_path / "dead" / path.name
    shutil.copytree(path.parent, dead.parent)
    dead.with_name("state.db-shm").unlink()
    before = around(dead)
    with pytest.raises(Unavailable):
        _numbers(dead)
    assert around(dead) == before
    with closing(sqlite3.connect(dead)) as owner:
        assert owner.execute("SELECT n FROM t").fetchall() == [(1,)]
        assert _numbers(dead) == [1]


def test_what_was_read_while_a_checkpoint_ran_does_not_count(
    path: Path, writer: sqlite3.Connection
) -> None:
    writer.close()

    def read_across_a_checkpoint() -> None:
        with reading(path) as connection:
            connection.execute("SELECT n FROM t").fetchall()
            with closing(sqlite3.connect(path, isolation_level=None)) as owner:
                owner.execute("INSERT INTO t VALUES (2)")

    with pytest.raises(Busy):
        read_across_a_checkpoint()
    assert _numbers(path) == [1, 2]


def test_a_database_without_a_wal_is_busy_during_a_commit(
    path: Path, writer: sqlite3.Connection
) -> None:
    writer.execute("PRAGMA journal_mode = DELETE")
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(Busy):
        _numbers(path)
    writer.execute("COMMIT")
    assert _numbers(path) == [1, 2]


def test_nothing_can_be_written_through_a_reader(path: Path, writer: sqlite3.Connection) -> None:
    with pytest.raises(Unavailable), reading(path) as connection:
        connection.execute("INSERT INTO t VALUES (3)")
    writer.close()
    with pytest.raises(Unavailable), reading(path) as connection:
        connection.execute("INSERT INTO t VALUES (3)")


@pytest.mark.parametrize("content", [b"", b"no database, but long enough to have a header" * 99])
def test_what_is_no_database_is_unavailable(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Unavailable):
        _numbers(write(tmp_path / "x?mode=rwc#.db", content))
    with pytest.raises(Unavailable):
        _numbers(tmp_path / "gone.db")
    assert len(list(tmp_path.iterdir())) == 1


def test_half_a_character_hides_nothing(path: Path, writer: sqlite3.Connection) -> None:
    writer.execute("UPDATE t SET n = CAST(X'41C3' AS TEXT)")
    with reading(path) as connection:
        assert connection.execute("SELECT n FROM t").fetchone()[0] == "A�"


# OpenClaw


def _openclaw(home: Path, **environ: str) -> Source:
    return source("openclaw", {"HOME": str(home), **environ})


@pytest.fixture
def openclaw(tmp_path: Path) -> Iterator[OpenClawDatabase]:
    found = OpenClawDatabase(tmp_path / ".openclaw")
    with closing(found.connection):
        found.session(A, CWD)
        yield found


def test_openclaw_sessions_are_found_in_every_agents_database(
    openclaw: OpenClawDatabase, tmp_path: Path
) -> None:
    other = OpenClawDatabase(tmp_path / ".openclaw", "ops")
    other.session(A, OTHER)
    found = _openclaw(tmp_path)
    assert ids(found) == {f"main__{A}", f"ops__{A}"}
    assert ids(found, CWD) == {f"main__{A}"}
    session = one(found, f"main__{A}")
    assert (session.harness, session.client, session.cwd) == ("openclaw", "2026.9.6", CWD)
    assert session.started_at == "2026-11-22T10:21:39.275Z"
    assert session.source == f"{openclaw.path}#{A}"
    other.connection.close()
    assert openclaw.path.parent in found.directories()


def test_an_openclaw_subagent_belongs_with_who_spawned_it(
    openclaw: OpenClawDatabase, tmp_path: Path
) -> None:
    key = openclaw.session("parent", CWD)
    child = openclaw.session("child", OTHER, spawned_by=key, key="agent:main:subagent:1")
    other = OpenClawDatabase(tmp_path / ".openclaw", "ops")
    other.session("grandchild", None, spawned_by=child)
    other.session("stranger", OTHER, spawned_by="agent:main:gone")
    found = _openclaw(tmp_path)
    assert one(found, "main__child").parent == "main__parent"
    grandchild = one(found, "ops__grandchild")
    assert (grandchild.parent, grandchild.cwd) == ("main__child", OTHER)
    assert ids(found, CWD) == {f"main__{A}", "main__parent", "main__child", "ops__grandchild"}
    assert one(found, "ops__stranger").parent is None
    other.connection.close()


@pytest.mark.parametrize("limit", [1, 300, 1 << 20])
def test_openclaw_lines_are_events_packed_or_not(
    openclaw: OpenClawDatabase, tmp_path: Path, limit: int
) -> None:
    events: list[object] = [{"type": "message", "n": n, "é": "\n" * n} for n in range(30)]
    for n, event in enumerate(events):
        openclaw.add(A, event, packed=n % 3 == 0)
    found = _openclaw(tmp_path)
    session = one(found, f"main__{A}")
    lines, cursor = read_all(found, session, limit=limit)
    assert b"".join(lines[1:]) == dump(*events)
    assert cursor["at"] == 31
    openclaw.add(A, {"type": "last"})
    assert one(found, session.id).stamp != session.stamp
    assert read_all(found, session, cursor)[0] == [dump({"type": "last"})]


def test_an_event_over_several_lines_is_one_line(
    openclaw: OpenClawDatabase, tmp_path: Path
) -> None:
    said = json.dumps({"type": "message", "text": "a\nb"}, indent=2).replace("\n", "\r\n")
    openclaw.connection.execute(
        "INSERT INTO transcript_events VALUES (?, 1, ?, 1, NULL, NULL, NULL)", (A, said)
    )
    found = _openclaw(tmp_path)
    lines, _ = read_all(found, one(found, f"main__{A}"))
    assert [it.count(b"\n") + it.count(b"\r") for it in lines] == [1, 1]
    assert json.loads(lines[1]) == json.loads(said)


def _raise_the_generation(made: OpenClawDatabase) -> None:
    made.rewritten(A, "f15e8d33156949c5ad6afa477dd219cf")


def _cut_the_end(made: OpenClawDatabase) -> None:
    made.connection.execute("DELETE FROM transcript_events WHERE seq > 2")


def _change_the_last(made: OpenClawDatabase) -> None:
    made.connection.execute("UPDATE transcript_events SET event_json = '{}' WHERE seq = 5")


@pytest.mark.parametrize("change", [_raise_the_generation, _cut_the_end, _change_the_last])
def test_a_rewritten_openclaw_session_is_read_from_the_start(
    openclaw: OpenClawDatabase, tmp_path: Path, change: Callable[[OpenClawDatabase], None]
) -> None:
    for n in range(5):
        openclaw.add(A, {"n": n})
    found = _openclaw(tmp_path)
    session = one(found, f"main__{A}")
    _, cursor = read_all(found, session)
    change(openclaw)
    batch = found.read(session, cursor)
    assert batch.restarted
    assert list(batch.lines) == read_all(found, session)[0] != []
    assert read_all(found, session, batch.cursor)[0] == []


@pytest.mark.parametrize("cursor", [{}, {"at": 1, "sha256": "00"}, {"at": "1", "generation": ""}])
def test_a_files_cursor_proves_nothing_in_an_openclaw_database(
    openclaw: OpenClawDatabase, tmp_path: Path, cursor: dict[str, object]
) -> None:
    found = _openclaw(tmp_path)
    batch = found.read(one(found, f"main__{A}"), cursor)
    assert (batch.restarted, len(batch.lines)) == (True, 1)


def test_an_openclaw_session_is_resumed_by_its_number_of_events(
    openclaw: OpenClawDatabase, tmp_path: Path
) -> None:
    openclaw.add(A, {"n": 1})
    found = _openclaw(tmp_path)
    session = one(found, f"main__{A}")
    assert read_all(found, session, found.resume(session, 1))[0] == [dump({"n": 1})]
    assert found.resume(session, 3) is None
    assert found.resume(session, 0) is not None


def test_an_event_that_cannot_be_unpacked_leaves_other_sessions_readable(
    openclaw: OpenClawDatabase, tmp_path: Path
) -> None:
    openclaw.session("broken", CWD)
    openclaw.connection.execute(
        "INSERT INTO transcript_events VALUES ('broken', 1, NULL, 1, X'00', 9, '{}')"
    )
    found = _openclaw(tmp_path)
    assert ids(found) == {f"main__{A}", "main__broken"}
    with pytest.raises(Unavailable):
        found.read(one(found, "main__broken"), None)
    assert len(read_all(found, one(found, f"main__{A}"))[0]) == 1


def _older(home: Path) -> Path:
    return home / ".openclaw" / "agents" / "main" / "sessions"


def _session_line(session: str, cwd: str) -> bytes:
    head = {"type": "session", "version": 3, "id": session, "timestamp": "2026-11-22T10:28:19.498Z"}
    return dump({**head, "cwd": cwd}, {"type": "model_change", "id": "91aaaaf4"})


def test_older_openclaw_sessions_are_the_files_that_are_transcripts(tmp_path: Path) -> None:
    sessions = _older(tmp_path)
    uuid = "9f4a1a2e-2b7c-4e5e-9d0f-0c1d2e3f4a5b"
    for name in (A, "my-explicit-1", f"{A}-topic-7", f"{A}.checkpoint.{uuid}"):
        write(sessions / f"{name}.jsonl", _session_line(A, CWD))
    trace = {"traceSchema": "openclaw-trajectory", "type": "session.started", "cwd": CWD}
    write(sessions / f"{A}.trajectory.jsonl", _session_line(A, CWD))
    write(sessions / "other-name.jsonl", dump(trace))
    write(sessions / f"{A}.trajectory-path.json", b"{}")
    write(sessions / "sessions.json", b"{}")
    write(sessions / f"{A}.jsonl.tmp", _session_line(A, CWD))
    write(sessions / "sessions.json.1234.tmp", b"{")
    found = _openclaw(tmp_path)
    names = (A, "my-explicit-1", f"{A}-topic-7", f"{A}.checkpoint.{uuid}")
    assert ids(found) == ids(found, CWD) == {f"main__{it}" for it in names}
    assert one(found, f"main__{A}.checkpoint.{uuid}").parent == f"main__{A}"
    session = one(found, f"main__{A}")
    assert read_all(found, session)[0] == _session_line(A, CWD).splitlines(keepends=True)
    assert found.resume(session, len(_session_line(A, CWD))) is not None
    assert sessions in found.directories()


def test_what_openclaw_took_over_into_its_database_is_read_there(
    openclaw: OpenClawDatabase, tmp_path: Path
) -> None:
    write(_older(tmp_path) / f"{A}.jsonl", _session_line(A, CWD))
    found = _openclaw(tmp_path)
    assert ids(found) == {f"main__{A}"}
    assert one(found, f"main__{A}").path == openclaw.path


@pytest.mark.parametrize(
    ("where", "environ"),
    [
        ("state", {"OPENCLAW_STATE_DIR": "state", "OPENCLAW_HOME": "other"}),
        ("other/.openclaw", {"OPENCLAW_HOME": "other"}),
        (".openclaw-work", {"OPENCLAW_PROFILE": "work"}),
        ("other/.openclaw-work", {"OPENCLAW_PROFILE": "work", "OPENCLAW_HOME": "other"}),
        (".openclaw", {"OPENCLAW_PROFILE": "default"}),
    ],
)
def test_a_moved_openclaw_home_is_followed(
    tmp_path: Path, where: str, environ: dict[str, str]
) -> None:
    places = {k: v if k.endswith("PROFILE") else str(tmp_path / v) for k, v in environ.items()}
    write(tmp_path / where / "agents" / "main" / "sessions" / "x.jsonl", _session_line("x", CWD))
    assert ids(_openclaw(tmp_path, **places)) == {"main__x"}


# Hermes


def _hermes(home: Path, **environ: str) -> Source:
    return source("hermes", {"HOME": str(home), **environ})


@pytest.fixture
def hermes(tmp_path: Path) -> Iterator[HermesDatabase]:
    found = HermesDatabase(tmp_path / ".hermes")
    with closing(found.connection):
        found.session(B, CWD)
        found.add(B, "one", "two", "three")
        yield found


def test_hermes_sessions_are_found_with_subagents_and_profiles(
    hermes: HermesDatabase, tmp_path: Path
) -> None:
    hermes.session("empty", CWD)
    hermes.session(C, None, parent=B)
    hermes.session("below", None, parent=C)
    hermes.session("of-empty", None, parent="empty")
    hermes.session("elsewhere", OTHER, parent="empty")
    hermes.session("lost", None)
    for it in (C, "below", "of-empty", "elsewhere", "lost"):
        hermes.add(it, "hello")
    profile = HermesDatabase(tmp_path / ".hermes" / "profiles" / "work")
    profile.session("profiled", OTHER)
    profile.add("profiled", "hello")
    found = _hermes(tmp_path)
    assert ids(found) == {B, C, "below", "of-empty", "elsewhere", "lost", "profiled"}
    assert ids(found, CWD) == {B, C, "below", "of-empty", "elsewhere"}
    assert ids(found, OTHER) == {"elsewhere", "profiled"}
    session = one(found, C)
    assert (session.parent, session.cwd, session.source) == (B, CWD, f"{hermes.path}#{C}")
    assert session.started_at == "2026-11-22T10:20:19.806102Z"
    assert session.about == {"source": "subagent", "model": "mock-model"}
    profile.connection.close()


def test_a_moved_hermes_home_is_followed(hermes: HermesDatabase, tmp_path: Path) -> None:
    hermes.connection.close()
    (tmp_path / ".hermes").rename(tmp_path / "moved")
    assert ids(_hermes(tmp_path)) == set()
    assert ids(_hermes(tmp_path, HERMES_HOME=str(tmp_path / "moved"))) == {B}


@pytest.mark.parametrize("limit", [1, 300, 1 << 20])
def test_hermes_lines_are_rows(hermes: HermesDatabase, tmp_path: Path, limit: int) -> None:
    hermes.session(C, None, parent=B)
    hermes.add(C, "not ours")
    hermes.add(B, *(f"é {n}" for n in range(20)), '\0json:[{"type":"text"}]', "\0json:{")
    found = _hermes(tmp_path)
    lines, cursor = read_all(found, one(found, B), limit=limit)
    rows = [json.loads(it) for it in lines]
    contents = ["one", "two", "three", *(f"é {n}" for n in range(20))]
    assert [it["content"] for it in rows] == [*contents, [{"type": "text"}], "\0json:{"]
    assert {"id", "session_id", "role", "timestamp", "active", "compacted"} <= set(rows[0])
    assert cursor["at"] == rows[-1]["id"] == 26
    before = one(found, B).stamp
    hermes.add(B, "more")
    assert one(found, B).stamp != before
    [line], _ = read_all(found, one(found, B), cursor)
    assert json.loads(line)["content"] == "more"


def _insert_anew(made: HermesDatabase) -> None:
    made.connection.execute("DELETE FROM messages WHERE session_id = ?", (B,))
    made.add(B, "one", "two", "three")


def _rewind(made: HermesDatabase) -> None:
    made.connection.execute("UPDATE messages SET active = 0 WHERE content = 'three'")


def _compact(made: HermesDatabase) -> None:
    made.connection.execute("UPDATE messages SET active = 0, compacted = 1 WHERE content = 'one'")
    made.add(B, "summary")


def _swap(made: HermesDatabase) -> None:
    made.connection.execute("UPDATE messages SET active = content != 'two'")


@pytest.mark.parametrize("change", [_insert_anew, _rewind, _compact, _swap])
def test_a_rewritten_hermes_session_is_read_from_the_start(
    hermes: HermesDatabase, tmp_path: Path, change: Callable[[HermesDatabase], None]
) -> None:
    hermes.connection.execute("UPDATE messages SET active = content != 'one'")
    found = _hermes(tmp_path)
    session = one(found, B)
    _, cursor = read_all(found, session)
    change(hermes)
    assert one(found, B).stamp != session.stamp
    batch = found.read(session, cursor)
    assert batch.restarted
    assert list(batch.lines) == read_all(found, session)[0] != []
    assert read_all(found, session, batch.cursor)[0] == []


def test_deleted_hermes_messages_begin_a_new_generation(
    hermes: HermesDatabase, tmp_path: Path
) -> None:
    found = _hermes(tmp_path)
    session = one(found, B)
    _, cursor = read_all(found, session)
    hermes.connection.execute("DELETE FROM messages")
    batch = found.read(session, cursor)
    assert (batch.restarted, batch.lines) == (True, [])
    hermes.add(B, "again")
    assert len(read_all(found, session, batch.cursor)[0]) == 1


def test_a_hermes_session_is_resumed_by_message_id(hermes: HermesDatabase, tmp_path: Path) -> None:
    found = _hermes(tmp_path)
    session = one(found, B)
    [line], _ = read_all(found, session, found.resume(session, 2))
    assert json.loads(line)["content"] == "three"
    assert found.resume(session, 9) is None
    assert len(read_all(found, session, found.resume(session, 0))[0]) == 3


def test_an_older_hermes_without_the_newer_columns_is_read(tmp_path: Path) -> None:
    home = tmp_path / ".hermes"
    home.mkdir()
    with closing(database(home / "state.db")) as connection:
        connection.execute("CREATE TABLE sessions (id TEXT PRIMARY KEY, started_at REAL)")
        connection.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, session_id TEXT)")
        connection.execute("INSERT INTO sessions VALUES (?, 'soon')", (B,))
        connection.execute("INSERT INTO messages VALUES (1, ?)", (B,))
        found = _hermes(tmp_path)
        session = one(found, B)
        assert (session.cwd, session.started_at) == (None, None)
        assert read_all(found, session)[0] == [dump({"id": 1, "session_id": B})]


# both


def test_idle_databases_are_not_opened_again(
    hermes: HermesDatabase, openclaw: OpenClawDatabase, tmp_path: Path
) -> None:
    for n in range(1000):
        hermes.session(f"s{n}", CWD)
        hermes.add(f"s{n}", "hello")
        openclaw.session(f"s{n}", CWD)
    for made in (hermes, openclaw):
        for path in made.path.parent.glob(f"{made.path.name}*"):
            os.utime(path, (1, 1))
    for found in (_hermes(tmp_path), _openclaw(tmp_path)):
        assert len(ids(found, CWD)) == 1001
        with OPENS.counted() as again:
            assert len(ids(found, CWD)) == 1001
        assert again == []
    hermes.add(B, "more")
    found = _hermes(tmp_path)
    ids(found)
    hermes.add(B, "and more")
    with OPENS.counted() as again:
        ids(found)
    assert len(again) == 1


def test_a_database_that_was_just_written_is_asked_again(
    hermes: HermesDatabase, tmp_path: Path
) -> None:
    found = _hermes(tmp_path)
    ids(found)
    with OPENS.counted() as again:
        ids(found)
    # Another transaction in the same tick of the clock need not change any stamp.
    assert len(again) == 1


def test_a_locked_database_shows_what_it_showed_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = HermesDatabase(tmp_path / ".hermes")
    made.connection.execute("PRAGMA journal_mode = DELETE")
    made.session(B, CWD)
    made.add(B, "one")
    found = _hermes(tmp_path)
    before = found.sessions()
    made.connection.execute("BEGIN EXCLUSIVE")
    made.add(B, "two")
    assert found.sessions() == before != []
    with pytest.raises(Unavailable):
        found.read(before[0], None)
    made.connection.execute("COMMIT")
    assert found.sessions() != before
    assert len(read_all(found, before[0])[0]) == 2
    made.connection.close()
    assert not caplog.records


def test_a_database_that_is_none_is_told_once_and_hides_nothing_else(
    hermes: HermesDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / ".hermes" / "profiles" / "a" / "state.db", b"no database" * 1000)
    write(tmp_path / ".hermes" / "profiles" / "b" / "state.db", b"")
    with closing(database(tmp_path / ".hermes" / "profiles" / "b" / "state.db")) as other:
        other.execute("CREATE TABLE foreign_one (n)")
        found = _hermes(tmp_path)
        assert ids(found) == ids(found) == {B}
    assert len(caplog.records) == 2


def test_a_database_that_is_gone_has_no_sessions(hermes: HermesDatabase, tmp_path: Path) -> None:
    found = _hermes(tmp_path)
    session = one(found, B)
    hermes.connection.close()
    hermes.path.unlink()
    assert found.sessions() == []
    with pytest.raises(Unavailable):
        found.read(session, None)
