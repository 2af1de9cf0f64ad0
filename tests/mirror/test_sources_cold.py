"""OpenClaw's cold sessions: their events are out of the database, as its 2026.9.6 moves them."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tcfs.mirror.sources import Source, Unavailable, source
from tests.mirror.homes import CWD, OPENS, OpenClawDatabase, dump, ids, one, read_all, write

A = "d35b5a8d-abdb-44fe-a2e1-bf96b7bb44c5"
EVENTS = [{"type": "message", "n": n, "é": "\n"} for n in range(9)]


@pytest.fixture
def openclaw(tmp_path: Path) -> Iterator[OpenClawDatabase]:
    found = OpenClawDatabase(tmp_path / ".openclaw")
    with closing(found.connection):
        found.session(A, CWD)
        for event in EVENTS:
            found.add(A, event)
        yield found


@pytest.fixture
def sessions(tmp_path: Path) -> Source:
    return source("openclaw", {"HOME": str(tmp_path)})


def stored(openclaw: OpenClawDatabase) -> list[tuple[int, str]]:
    query = "SELECT seq, event_json FROM transcript_events WHERE session_id = ? ORDER BY seq"
    return openclaw.connection.execute(query, (A,)).fetchall()


@pytest.mark.parametrize("inside", [False, True], ids=["file", "database"])
@pytest.mark.parametrize("limit", [1, 300, 1 << 20])
def test_a_cold_session_is_the_same_line_for_line(
    openclaw: OpenClawDatabase, sessions: Source, inside: bool, limit: int
) -> None:
    hot = one(sessions, f"main__{A}")
    lines, cursor = read_all(sessions, hot, None, limit)
    assert [it.decode().rstrip("\n") for it in lines] == [said for _, said in stored(openclaw)]
    openclaw.cool(A, inside=inside)
    cold = one(sessions, f"main__{A}")
    assert (cold.cwd, cold.started_at, cold.stamp) == (CWD, hot.started_at, hot.stamp)
    assert ids(sessions, CWD) == {f"main__{A}"}
    # Whoever mirrored it has all of it; whoever comes now gets all of it.
    assert read_all(sessions, cold, cursor, limit) == ([], cursor)
    assert read_all(sessions, cold, None, limit) == (lines, cursor)
    middle = sessions.resume(cold, 4)
    assert middle is not None
    assert read_all(sessions, cold, middle, limit) == (lines[4:], cursor)
    assert sessions.resume(cold, 99) is None


def test_a_session_that_is_put_back_goes_on(openclaw: OpenClawDatabase, sessions: Source) -> None:
    events = stored(openclaw)
    openclaw.cool(A)
    _, cursor = read_all(sessions, one(sessions, f"main__{A}"))
    openclaw.warm(A, events)
    openclaw.add(A, {"type": "message", "more": 1})
    lines, _ = read_all(sessions, one(sessions, f"main__{A}"), cursor)
    assert lines == [dump({"type": "message", "more": 1})]


def test_an_archive_is_looked_into_once(openclaw: OpenClawDatabase, sessions: Source) -> None:
    archive = openclaw.cool(A)
    sessions.sessions()
    openclaw.session("other", CWD)
    with OPENS.counted() as opened:
        assert ids(sessions, CWD) == {f"main__{A}", "main__other"}
    assert str(archive) not in opened
    assert str(openclaw.path) in " ".join(opened)


@pytest.mark.parametrize("body", [None, b"no archive at all"], ids=["gone", "broken"])
def test_an_archive_that_cannot_be_read_hides_no_other(
    openclaw: OpenClawDatabase, sessions: Source, body: bytes | None
) -> None:
    openclaw.session("other", CWD)
    archive = openclaw.cool(A)
    archive.unlink()
    if body is not None:
        write(archive, body)
    assert ids(sessions) == {f"main__{A}", "main__other"}
    assert ids(sessions, CWD) == {"main__other"}  # nobody can tell where it ran
    with pytest.raises(Unavailable, match=A):
        sessions.read(one(sessions, f"main__{A}"), None)


def test_no_other_file_is_taken_for_an_archive(
    openclaw: OpenClawDatabase, sessions: Source
) -> None:
    archive = openclaw.cool(A)
    archive.rename(archive.parent.parent / "secret")
    openclaw.connection.execute(
        "UPDATE session_transcript_cold_archives SET archive_name = '../secret'"
    )
    with pytest.raises(Unavailable, match="no name of an archive"):
        sessions.read(one(sessions, f"main__{A}"), None)
