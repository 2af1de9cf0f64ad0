"""Gemini CLI, Qwen Code, Copilot CLI and pi: where they lie and what they say.

The homes are as Gemini CLI 0.61, Qwen Code 0.24, Copilot CLI 1.0.102 and pi 0.73 and 1.5 make them.
"""

import json
import os
from pathlib import Path

import pytest

from tcfs.mirror.sources import HARNESSES, source
from tests.mirror.homes import CWD, OTHER, append, dump, ids, one, read_all, write

A = "0b94f22c-334e-477c-aec6-7f9ecc52830e"
B = "32bca2eb-bc1d-4266-9b1d-b3c0de686d82"
C = "c85d9fdd-dff0-4b41-b74c-cef374f2721f"
TIME = "2026-11-22T10:19:28.545Z"
OUTPUT = "run_shell_command_1.txt"
SUBAGENT = "agent-general-purpose-call_7"


def _gemini(home: Path) -> None:
    said = {"projectHash": "5f2c", "startTime": TIME, "lastUpdated": TIME}
    first = home / ".gemini" / "tmp" / "my-proj"
    write(first / ".project_root", CWD.encode())
    name = "session-2026-11-22T10-19-0b94f22c.jsonl"
    head = {"sessionId": A, **said, "kind": "main"}
    write(first / "chats" / name, dump(head, {"id": "1"}, {"$set": {"lastUpdated": TIME}}))
    write(first / "chats" / A / f"{C}.jsonl", dump({"sessionId": C, **said, "kind": "subagent"}))
    write(first / "chats" / "session-2025.json", b"{}")
    write(first / "chats" / f"{name}.unreadable-1795379284587", dump(head))
    write(first / "logs.json", b"[]")
    write(home / ".gemini" / "tmp" / "other" / "chats" / name, dump({"sessionId": B, **said}))
    write(home / ".gemini" / "projects.json", dump({"projects": {OTHER: "other", CWD: "my-proj"}}))


def _qwen(home: Path) -> None:
    projects = home / ".qwen" / "projects"
    for name, cwd in ((A, CWD), (C, CWD + "/below"), (B, OTHER)):
        line = {"uuid": "1", "sessionId": name, "timestamp": TIME, "type": "user", "cwd": cwd}
        write(projects / "-enc" / "chats" / f"{name}.jsonl", dump({**line, "version": "0.24.4"}))
    write(projects / "-enc" / "chats" / "foreign.jsonl", dump({"cwd": CWD}))
    write(projects / "-enc" / "notes.jsonl", dump({"cwd": CWD, "sessionId": "x"}))
    write(projects / "-enc" / "chats" / f"{A}.ledger.jsonl", dump({"cwd": CWD, "sessionId": A}))
    write(projects / "-enc" / "chats" / f"{A}.runtime.json", b"{}")


def _copilot(home: Path) -> None:
    for name, cwd in ((A, CWD), (C, CWD), (B, OTHER)):
        start = {"sessionId": name, "copilotVersion": "1.0.102", "startTime": TIME}
        line = {"type": "session.start", "data": {**start, "context": {"cwd": cwd}}, "id": "e1"}
        state = home / ".copilot" / "session-state" / name
        write(state / "events.jsonl", dump(line, {"type": "user.message", "data": {}}))
        write(state / "workspace.yaml", b"id: x\n")
    write(home / ".copilot" / "session-state" / "foreign" / "events.jsonl", dump({"type": "x"}))


def _pi(home: Path) -> None:
    sessions = home / ".pi" / "agent" / "sessions"
    for name, cwd in ((A, CWD), (C, CWD), (B, OTHER)):
        head = {"type": "session", "version": 3, "id": name, "timestamp": TIME, "cwd": cwd}
        write(sessions / "--enc--" / f"2026-11-22T10-19-28-545Z_{name}.jsonl", dump(head))
    write(sessions / "--enc--" / "foreign.jsonl", dump({"type": "message", "id": "x"}))


HOMES = {
    "gemini-cli": (_gemini, "GEMINI_CLI_HOME", "."),
    "qwen-code": (_qwen, "QWEN_HOME", ".qwen"),
    "copilot-cli": (_copilot, "COPILOT_HOME", ".copilot"),
    "pi": (_pi, "PI_CODING_AGENT_DIR", ".pi/agent"),
}


@pytest.mark.parametrize("harness", HOMES)
def test_sessions_are_found_and_read(harness: str, tmp_path: Path) -> None:
    make, _, _ = HOMES[harness]
    make(tmp_path)
    found = source(harness, {"HOME": str(tmp_path)})
    assert found.name == harness
    assert ids(found) == {A, B, C}
    assert ids(found, CWD) == {A, C}
    assert ids(found, OTHER) == {B}
    session = one(found, A)
    assert (session.harness, session.cwd, session.started_at) == (harness, CWD, TIME)
    lines, cursor = read_all(found, session, limit=1)
    assert b"".join(lines) == session.path.read_bytes()
    append(session.path, dump({"more": 1}))
    assert read_all(found, one(found, A), cursor)[0] == [dump({"more": 1})]


@pytest.mark.parametrize("harness", HOMES)
def test_a_moved_home_is_followed(harness: str, tmp_path: Path) -> None:
    make, variable, below = HOMES[harness]
    make(tmp_path / "moved")
    home = str(tmp_path / "nobody")
    assert ids(source(harness, {"HOME": home})) == set()
    environ = {"HOME": home, variable: str(tmp_path / "moved" / below)}
    assert ids(source(harness, environ)) == {A, B, C}


def test_a_gemini_subagent_names_its_parent(tmp_path: Path) -> None:
    _gemini(tmp_path)
    assert one(source("gemini-cli", {"HOME": str(tmp_path)}), C).parent == A


@pytest.mark.parametrize("harness", ["qwen-code", "copilot-cli"])
def test_the_clients_version_is_known(harness: str, tmp_path: Path) -> None:
    HOMES[harness][0](tmp_path)
    version = {"qwen-code": "0.24.4", "copilot-cli": "1.0.102"}[harness]
    assert one(source(harness, {"HOME": str(tmp_path)}), A).client == version


def test_a_large_output_of_gemini_belongs_to_its_session(tmp_path: Path) -> None:
    """A subagent, or a large output of a tool, is a session of its own, with
    `parent_session_id`.
    """
    _gemini(tmp_path)
    project = tmp_path / ".gemini" / "tmp" / "my-proj"
    output = write(project / "tool-outputs" / f"session-{A}" / OUTPUT, b"1\n2\n3")
    write(project / "tool-outputs" / "of-nobody.txt", b"1\n")
    found = source("gemini-cli", {"HOME": str(tmp_path)})
    assert ids(found, CWD) == {A, C, f"{A}__{OUTPUT}"}
    session = one(found, f"{A}__{OUTPUT}")
    assert (session.parent, session.cwd) == (A, CWD)
    lines, cursor = read_all(found, session)
    assert [json.loads(it)["text"] for it in lines] == ["1\n2\n"]
    os.utime(output, (1, 1))  # nobody writes to it any more: its last line is one
    lines, _ = read_all(found, one(found, f"{A}__{OUTPUT}"), cursor)
    assert [json.loads(it)["text"] for it in lines] == ["3"]


def test_what_gemini_takes_back_and_goes_on_with_is_what_it_added(tmp_path: Path) -> None:
    """It never changes what it wrote: a turn that is taken back is another line."""
    _gemini(tmp_path)
    found = source("gemini-cli", {"HOME": str(tmp_path)})
    session = one(found, A)
    _, cursor = read_all(found, session)
    more = dump({"$rewindTo": "1"}, {"sessionId": A, "projectHash": "5f2c", "kind": "main"})
    append(session.path, more)
    assert ids(found, CWD) == {A, C}
    assert b"".join(read_all(found, one(found, A), cursor)[0]) == more


def test_a_subagent_of_qwen_belongs_to_its_session(tmp_path: Path) -> None:
    _qwen(tmp_path)
    folder = tmp_path / ".qwen" / "projects" / "-enc" / "subagents" / A
    line = {"sessionId": A, "timestamp": TIME, "cwd": CWD, "version": "0.24.4", "isSidechain": True}
    path = write(folder / f"{SUBAGENT}.jsonl", dump(line))
    task = {"agentType": "general-purpose", "description": "look", "persistedCliFlags": {"a": 1}}
    write(folder / f"{SUBAGENT}.meta.json", dump(task))
    found = source("qwen-code", {"HOME": str(tmp_path)})
    assert ids(found, CWD) == {A, C, f"{A}__{SUBAGENT}"}
    session = one(found, f"{A}__{SUBAGENT}")
    assert (session.parent, session.client) == (A, "0.24.4")
    assert session.about == {"agentType": "general-purpose", "description": "look"}
    assert b"".join(read_all(found, session)[0]) == path.read_bytes()


def test_a_session_that_qwen_archives_is_the_same(tmp_path: Path) -> None:
    _qwen(tmp_path)
    found = source("qwen-code", {"HOME": str(tmp_path)})
    live = one(found, A)
    _, cursor = read_all(found, live)
    archive = live.path.parent / "archive"
    archive.mkdir()
    # Both names are there for a moment.
    (archive / live.path.name).hardlink_to(live.path)
    assert one(found, A).path == live.path
    live.path.unlink()
    moved = one(found, A)
    assert moved.path == archive / live.path.name
    append(moved.path, dump({"more": 1}))
    assert read_all(found, moved, cursor)[0] == [dump({"more": 1})]


@pytest.mark.parametrize("setting", ["variable", "settings"])
def test_what_qwen_writes_may_be_apart_from_its_home(setting: str, tmp_path: Path) -> None:
    _qwen(tmp_path / "moved")
    elsewhere = "~/moved/.qwen"
    environ = {"HOME": str(tmp_path)}
    if setting == "variable":
        environ["QWEN_RUNTIME_DIR"] = elsewhere
    else:
        advanced = {"advanced": {"runtimeOutputDir": elsewhere}}
        write(tmp_path / ".qwen" / "settings.json", dump(advanced))
    assert ids(source("qwen-code", environ)) == {A, B, C}


@pytest.mark.parametrize("setting", ["variable", "settings"])
def test_sessions_of_pi_may_lie_elsewhere_side_by_side(setting: str, tmp_path: Path) -> None:
    _pi(tmp_path)
    head = {"type": "session", "version": 3, "id": "new", "timestamp": TIME, "cwd": CWD}
    write(tmp_path / "mine" / f"{TIME}_new.jsonl", dump(head))
    environ = {"HOME": str(tmp_path)}
    if setting == "variable":
        environ["PI_CODING_AGENT_SESSION_DIR"] = "~/mine"
    else:
        settings = dump({"sessionDir": str(tmp_path / "mine")})
        write(tmp_path / ".pi" / "agent" / "settings.json", settings)
    # What ran before is still where it was.
    assert ids(source("pi", environ), CWD) == {A, C, "new"}


def test_a_session_that_pi_writes_anew_begins_anew(tmp_path: Path) -> None:
    """One of an older version is written anew when it is opened."""
    _pi(tmp_path)
    found = source("pi", {"HOME": str(tmp_path)})
    session = one(found, A)
    _, cursor = read_all(found, session)
    head = {"type": "session", "version": 4, "id": A, "timestamp": TIME, "cwd": CWD}
    write(session.path, dump(head, {"type": "message", "id": "1", "parentId": None}))
    batch = found.read(one(found, A), cursor)
    assert batch.restarted
    assert b"".join(batch.lines) == session.path.read_bytes()


def test_settings_that_cannot_be_read_move_nothing(tmp_path: Path) -> None:
    _pi(tmp_path)
    write(tmp_path / ".pi" / "agent" / "settings.json", b"{ // a comment")
    assert ids(source("pi", {"HOME": str(tmp_path)})) == {A, B, C}


def test_every_harness_is_there_by_its_name(tmp_path: Path) -> None:
    named = {name: source(name, {"HOME": str(tmp_path)}).name for name in HARNESSES}
    assert named == {name: name for name in HARNESSES}
    first = ("claude-code", "codex", "openclaw", "hermes")
    assert set(HARNESSES) == {*first, *HOMES}
    with pytest.raises(KeyError):
        source("emacs", {})
