"""Claude Code and Codex: what is found, whose it is, and what a second look costs."""

import json
import os
import time
from pathlib import Path

import pytest

from tcfs.mirror.sources import Source, Unavailable, source
from tcfs.mirror.sources._lines import QUIET
from tests.mirror.homes import (
    CWD,
    OPENS,
    OTHER,
    append,
    claude_lines,
    codex_lines,
    compress,
    dump,
    ids,
    one,
    read_all,
    rollout,
    write,
)

A = "0b94f22c-334e-477c-aec6-7f9ecc52830e"
B = "32bca2eb-bc1d-4266-9b1d-b3c0de686d82"
AGENT = f"{A}__agent-a3382ffa3fdc937a2"
RESULT = f"{A}__bzjcyxe05.txt"
LONG = "/srv/harness/proj/" + "long_dir." * 20 + "/" + "more_dir." * 10
PROJECT = "-srv-harness-proj-my-proj-v2----d-j-"


def _claude(home: Path, **environ: str) -> Source:
    return source("claude-code", {"HOME": str(home), **environ})


@pytest.fixture
def claude(tmp_path: Path) -> Path:
    """Return the directory of a project with a session, its subagent and a large output."""
    project = tmp_path / ".claude" / "projects" / PROJECT
    write(project / f"{A}.jsonl", claude_lines(A, CWD, 3))
    meta = {"agentType": "general-purpose", "description": "mock subtask", "spawnDepth": 1}
    said = claude_lines(A, CWD, 2, agentId="a3382ffa3fdc937a2", isSidechain=True)
    write(project / A / "subagents" / "agent-a3382ffa3fdc937a2.jsonl", said)
    write(project / A / "subagents" / "agent-a3382ffa3fdc937a2.meta.json", dump(meta))
    write(project / A / "tool-results" / "bzjcyxe05.txt", b"1\n2\n3\n")
    return project


def test_a_claude_session_is_found_with_its_subagents_and_outputs(
    claude: Path, tmp_path: Path
) -> None:
    write(claude.parent / "-srv-harness-proj-other" / f"{B}.jsonl", claude_lines(B, OTHER))
    found = _claude(tmp_path)
    assert ids(found, CWD) == {A, AGENT, RESULT}
    assert ids(found, OTHER) == {B}
    assert ids(found) == {A, AGENT, RESULT, B}
    assert ids(found, "/srv/harness/proj") == {A, AGENT, RESULT, B}
    assert ids(found, CWD + "/below") == ids(found, CWD[:-1]) == ids(found, tmp_path) == set()


def test_a_claude_session_says_what_it_is(claude: Path, tmp_path: Path) -> None:
    found = _claude(tmp_path)
    session, agent, result = (one(found, it) for it in (A, AGENT, RESULT))
    assert (session.harness, session.cwd, session.parent) == ("claude-code", CWD, None)
    assert (session.client, session.started_at) == ("2.1.330", "2026-11-22T10:19:28.545Z")
    assert session.source == str(claude / f"{A}.jsonl")
    assert (agent.parent, agent.cwd, agent.about["description"]) == (A, CWD, "mock subtask")
    assert (result.parent, result.cwd) == (A, CWD)


def test_claude_lines_are_the_files_bytes(claude: Path, tmp_path: Path) -> None:
    found = _claude(tmp_path)
    for name in (A, AGENT):
        session = one(found, name)
        for limit in (1, 1 << 20):
            assert b"".join(read_all(found, session, limit=limit)[0]) == session.path.read_bytes()
    [line], _ = read_all(found, one(found, RESULT))
    assert json.loads(line)["text"] == "1\n2\n3\n"


def test_a_directory_name_that_claude_cut_makes_no_difference(tmp_path: Path) -> None:
    projects = tmp_path / ".claude" / "projects"
    name = "-srv-harness-proj-" + "long-dir-" * 20 + "x-6jufkc"
    write(projects / name / f"{A}.jsonl", claude_lines(A, LONG))
    # Two directories can have one name: what is in it need not be of one directory.
    write(projects / name / f"{B}.jsonl", claude_lines(B, OTHER))
    assert ids(_claude(tmp_path), LONG) == {A}


def test_a_moved_claude_configuration_is_followed(claude: Path, tmp_path: Path) -> None:
    write(tmp_path / "alt" / "projects" / "-x" / f"{B}.jsonl", claude_lines(B, OTHER))
    assert ids(_claude(tmp_path, CLAUDE_CONFIG_DIR=str(tmp_path / "alt"))) == {B}
    assert ids(_claude(tmp_path, CLAUDE_CONFIG_DIR="~/alt")) == {B}
    assert ids(_claude(tmp_path, CLAUDE_CONFIG_DIR="")) == {A, AGENT, RESULT}


def test_a_session_belongs_by_its_real_directory(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    projects = tmp_path / ".claude" / "projects"
    write(projects / "-a" / f"{A}.jsonl", claude_lines(A, str(tmp_path / "link" / "sub")))
    write(projects / "-b" / f"{B}.jsonl", claude_lines(B, str(tmp_path / "real" / "..")))
    found = _claude(tmp_path)
    assert ids(found, tmp_path / "real") == ids(found, tmp_path / "link") == {A}
    assert ids(found, tmp_path) == ids(found, "/") == {A, B}


@pytest.mark.parametrize("cwd", ["/srv/a\0b", "srv/harness", "", "/" + "x" * 5000, "/\ud800"])
def test_a_directory_that_is_none_hides_nothing_else(
    claude: Path, tmp_path: Path, cwd: str
) -> None:
    line = json.dumps({"type": "user", "cwd": cwd, "sessionId": B}).encode() + b"\n"
    write(claude / f"{B}.jsonl", line)
    found = _claude(tmp_path)
    assert ids(found, CWD) == {A, AGENT, RESULT}
    assert ids(found) == {A, AGENT, RESULT, B}


def test_a_subagent_belongs_with_its_session_wherever_it_ran(claude: Path, tmp_path: Path) -> None:
    path = claude / A / "subagents" / "agent-a3382ffa3fdc937a2.jsonl"
    path.write_bytes(claude_lines(A, OTHER))
    found = _claude(tmp_path)
    assert ids(found, CWD) == {A, AGENT, RESULT}
    assert ids(found, OTHER) == {AGENT}


def test_a_subagent_among_the_sessions_names_its_parent(tmp_path: Path) -> None:
    project = tmp_path / ".claude" / "projects" / PROJECT
    write(project / f"{A}.jsonl", claude_lines(A, CWD))
    write(project / "agent-0f1e.jsonl", claude_lines(A, CWD, isSidechain=True))
    assert one(_claude(tmp_path), "agent-0f1e").parent == A


def test_a_session_begins_before_it_says_where_it_runs(tmp_path: Path) -> None:
    said = claude_lines(A, CWD).splitlines(keepends=True)
    path = write(tmp_path / ".claude" / "projects" / PROJECT / f"{A}.jsonl", said[0] + said[1][:9])
    found = _claude(tmp_path)
    assert (ids(found), ids(found, CWD)) == ({A}, set())
    append(path, said[1][9:] + said[2])
    assert ids(found, CWD) == {A}


def test_what_is_unreadable_or_foreign_hides_nothing_else(
    claude: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(claude / "notes.jsonl", b"no JSON\n[1]\n{}\n")
    write(claude / "empty.jsonl", b"")
    write(claude / "half.jsonl", b'{"type":"user","cwd":')
    write(claude / "sessions-index.json", b"{}")
    (claude / "directory.jsonl").mkdir()
    (claude / "broken.jsonl").symlink_to(claude / "nowhere")
    (claude / "loop").symlink_to(claude / "loop")
    os.mkfifo(claude / "fifo.jsonl")
    write(claude / f"{chr(0x85)}.jsonl", claude_lines(A, CWD))
    write(claude.parent / "file-not-directory", b"")
    (claude.parent / "-locked").mkdir(mode=0)
    assert ids(_claude(tmp_path)) == {A, AGENT, RESULT}
    assert not caplog.records


def test_a_transcript_that_cannot_be_opened_is_told_once_and_found_when_mended(
    claude: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(claude / f"{B}.jsonl", claude_lines(B, CWD))
    opens = Path.open

    def refused(path: Path, *arguments: object, **named: object) -> object:
        if path.name == f"{B}.jsonl":
            raise PermissionError(13, "Permission denied", str(path))
        return opens(path, *arguments, **named)  # type: ignore[call-overload] - passed on as it is

    found = _claude(tmp_path)
    with monkeypatch.context() as patch:  # the tests may run as root, whom no mode keeps out
        patch.setattr(Path, "open", refused)
        assert ids(found) == ids(found) == {A, AGENT, RESULT}
    assert [it.levelname for it in caplog.records] == ["WARNING"]
    assert ids(found) == {A, AGENT, RESULT, B}


def test_of_two_files_of_one_session_the_newer_counts(tmp_path: Path) -> None:
    projects = tmp_path / ".claude" / "projects"
    old = write(projects / "-a" / f"{A}.jsonl", claude_lines(A, OTHER))
    new = write(projects / "-b" / f"{A}.jsonl", claude_lines(A, CWD))
    for newer, older in ((new, old), (old, new)):
        os.utime(older, (1, 1))
        os.utime(newer, (2, 2))
        assert one(_claude(tmp_path), A).path == newer


def test_an_output_that_ends_without_a_newline_has_another_stamp_when_quiet(
    claude: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (claude / A / "tool-results" / "bzjcyxe05.txt").write_bytes(b"1\n2")
    found = _claude(tmp_path)
    before = one(found, RESULT)
    cursor = found.read(before, None).cursor
    assert found.read(before, cursor).lines == []
    later = time.time() + QUIET + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert one(found, RESULT).stamp != before.stamp
    [line] = found.read(before, cursor).lines
    assert json.loads(line)["text"] == "2"


def test_a_stamp_changes_with_the_file_and_only_then(claude: Path, tmp_path: Path) -> None:
    found = _claude(tmp_path)
    before = {it.id: it.stamp for it in found.sessions()}
    assert before == {it.id: it.stamp for it in found.sessions()}
    append(claude / f"{A}.jsonl", dump({"type": "user"}))
    after = {it.id: it.stamp for it in found.sessions()}
    assert {it for it in before if before[it] != after[it]} == {A}


def test_the_directories_to_watch_hold_every_session(claude: Path, tmp_path: Path) -> None:
    found = _claude(tmp_path)
    parents = {it.path.parent for it in found.sessions()}
    assert parents | {claude.parent} <= found.directories()


def test_a_thousand_idle_sessions_cost_one_stat_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    projects = tmp_path / ".claude" / "projects"
    names = [f"{n:08d}-af1a-4a49-9087-b184d857dd44" for n in range(1000)]
    for n, name in enumerate(names):
        write(projects / f"-p-{n % 10}" / f"{name}.jsonl", claude_lines(name, f"/srv/p/{n % 10}"))
    found = _claude(tmp_path)
    with OPENS.counted() as first:
        assert ids(found) == set(names)
    assert len(first) == 1000
    stats: list[str] = []
    monkeypatch.setattr(os, "scandir", _counting(stats))
    with OPENS.counted() as second:
        assert ids(found) == set(names)
    assert second == []
    assert len(stats) == 1000
    append(projects / "-p-0" / f"{names[0]}.jsonl", dump({"type": "user"}))
    with OPENS.counted() as third:
        found.sessions()
    assert third == [str(projects / "-p-0" / f"{names[0]}.jsonl")]


class _Entry:
    def __init__(self, entry: os.DirEntry[str], stats: list[str]) -> None:
        self._entry, self._stats = entry, stats
        self.name, self.path, self.is_dir = entry.name, entry.path, entry.is_dir
        self.is_symlink = entry.is_symlink

    def stat(self) -> os.stat_result:
        self._stats.append(self.path)
        return self._entry.stat()


def _counting(stats: list[str]) -> object:
    scandir = os.scandir

    class Counting:
        def __init__(self, path: Path) -> None:
            self._entries = scandir(path)

        def __enter__(self) -> list[_Entry]:
            with self._entries as entries:
                return [_Entry(it, stats) for it in entries]

        def __exit__(self, *_: object) -> None: ...

    return Counting


# Codex


def _codex(home: Path, **environ: str) -> Source:
    return source("codex", {"HOME": str(home), **environ})


def _day(home: Path) -> Path:
    return home / ".codex" / "sessions" / "2026" / "11" / "22"


def test_codex_sessions_are_found_live_archived_and_compressed(tmp_path: Path) -> None:
    names = [f"01a202c2-affb-72b0-a1e6-aa4ef86dc06{n}" for n in range(5)]
    write(_day(tmp_path) / rollout(names[0]), codex_lines(names[0], CWD))
    compress(write(_day(tmp_path) / rollout(names[1]), codex_lines(names[1], CWD)))
    archive = tmp_path / ".codex" / "archived_sessions"
    write(archive / rollout(names[2]), codex_lines(names[2], CWD))
    compress(write(archive / rollout(names[3]), codex_lines(names[3], OTHER)))
    # A subagent, whose directory is another one.
    said = codex_lines(names[4], OTHER, parent_thread_id=names[0], agent_nickname="Meitner")
    write(_day(tmp_path) / rollout(names[4]), said)
    found = _codex(tmp_path)
    assert ids(found) == set(names)
    assert ids(found, CWD) == {names[0], names[1], names[2], names[4]}
    assert ids(found, OTHER) == {names[3], names[4]}
    child, parent = one(found, names[4]), one(found, names[0])
    assert (child.parent, child.about) == (names[0], {"agent_nickname": "Meitner"})
    assert (parent.parent, parent.client, parent.cwd) == (None, "0.169.0", CWD)
    assert parent.started_at == "2026-11-22T10:17:23.210Z"


def test_archiving_and_compressing_a_codex_session_is_nothing_new(tmp_path: Path) -> None:
    said = codex_lines(A, CWD, 40)
    path = write(_day(tmp_path) / rollout(A), said[:-1])
    found = _codex(tmp_path)
    lines, cursor = read_all(found, one(found, A))
    archived = tmp_path / ".codex" / "archived_sessions" / path.name
    archived.parent.mkdir()
    stale = one(found, A)
    path.rename(archived)
    with pytest.raises(Unavailable):
        found.read(stale, cursor)
    assert one(found, A).path == archived
    append(archived, b"\n")
    last, cursor = read_all(found, one(found, A), cursor)
    assert lines + last == said.splitlines(keepends=True)
    compress(archived)
    assert one(found, A).path.suffix == ".zst"
    assert read_all(found, one(found, A), cursor) == ([], cursor | {"inode": _inode(found)})


def _inode(found: Source) -> int:
    return one(found, A).path.stat().st_ino


def test_while_a_codex_session_is_compressed_the_plain_file_counts(tmp_path: Path) -> None:
    path = write(_day(tmp_path) / rollout(A), codex_lines(A, CWD))
    half = compress(write(tmp_path / "half", codex_lines(A, CWD)[:-1])).read_bytes()
    for where in (path.parent, tmp_path / ".codex" / "archived_sessions"):
        write(where / (path.name + ".zst"), half)
    assert one(_codex(tmp_path), A).path == path
    # Live: its directory comes first, its name does not.
    write(path.with_name("rollout-0.jsonl.zst"), half)
    assert one(_codex(tmp_path), A).path == path


def test_a_truncated_compressed_file_hides_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = tmp_path / ".codex" / "archived_sessions"
    write(archive / (rollout(A) + ".zst"), b"\x28\xb5\x2f\xfd garbage that is no frame")
    write(archive / rollout(B), codex_lines(B, CWD))
    assert ids(_codex(tmp_path)) == {B}
    assert len(caplog.records) == 1


def test_codex_files_that_are_no_rollouts_are_left_out(tmp_path: Path) -> None:
    write(_day(tmp_path) / rollout(A), dump({"type": "event_msg", "payload": {"id": A}}))
    write(_day(tmp_path) / "notes.jsonl", codex_lines(B, CWD))
    write(tmp_path / ".codex" / "history.jsonl", codex_lines(B, CWD))
    write(_day(tmp_path) / rollout("x"), dump({"type": "session_meta", "payload": {"id": 7}}))
    assert ids(_codex(tmp_path)) == set()


def test_a_moved_codex_home_is_followed(tmp_path: Path) -> None:
    write(_day(tmp_path) / rollout(A), codex_lines(A, CWD))
    (tmp_path / ".codex").rename(tmp_path / "elsewhere")
    assert ids(_codex(tmp_path)) == set()
    assert ids(_codex(tmp_path, CODEX_HOME=str(tmp_path / "elsewhere"))) == {A}


def test_a_codex_session_that_was_deleted_and_made_again_starts_again(tmp_path: Path) -> None:
    path = write(_day(tmp_path) / rollout(A), codex_lines(A, CWD, 3))
    found = _codex(tmp_path)
    _, cursor = read_all(found, one(found, A))
    path.unlink()
    assert ids(found) == set()
    write(path, codex_lines(A, OTHER, 9))
    batch = found.read(one(found, A), cursor)
    assert batch.restarted
    assert b"".join(batch.lines) == path.read_bytes()
    assert ids(found, CWD) == set()


@pytest.mark.parametrize("harness", ["claude-code", "codex", "openclaw", "hermes"])
def test_a_home_without_a_harness_has_no_sessions(harness: str, tmp_path: Path) -> None:
    found = source(harness, {"HOME": str(tmp_path / "nobody")})
    assert (found.name, found.sessions()) == (harness, [])
    assert list(tmp_path.iterdir()) == []
