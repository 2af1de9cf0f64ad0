"""Gemini CLI, Qwen Code, Copilot CLI and pi: where they lie and what they say."""

from pathlib import Path

import pytest

from tcfs.mirror.sources import HARNESSES, source
from tests.mirror.homes import CWD, OTHER, append, dump, ids, one, read_all, write

A = "0b94f22c-334e-477c-aec6-7f9ecc52830e"
B = "32bca2eb-bc1d-4266-9b1d-b3c0de686d82"
C = "c85d9fdd-dff0-4b41-b74c-cef374f2721f"
TIME = "2026-11-22T10:19:28.545Z"


def _gemini(home: Path) -> None:
    said = {"projectHash": "5f2c", "startTime": TIME, "lastUpdated": TIME}
    first = home / ".gemini" / "tmp" / "my-proj"
    write(first / ".project_root", CWD.encode())
    name = "session-2026-11-22T10-19-0b94f22c.jsonl"
    write(first / "chats" / name, dump({"sessionId": A, **said, "kind": "main"}, {"id": "1"}))
    write(first / "chats" / A / f"{C}.jsonl", dump({"sessionId": C, **said, "kind": "subagent"}))
    write(first / "chats" / "session-2025.json", b"{}")
    write(first / "logs.json", b"[]")
    write(home / ".gemini" / "tmp" / "other" / "chats" / name, dump({"sessionId": B, **said}))
    write(home / ".gemini" / "projects.json", dump({"projects": {OTHER: "other", CWD: "my-proj"}}))


def _qwen(home: Path) -> None:
    projects = home / ".qwen" / "projects"
    for name, cwd in ((A, CWD), (C, CWD + "/below"), (B, OTHER)):
        line = {"uuid": "1", "sessionId": name, "timestamp": TIME, "type": "user", "cwd": cwd}
        write(projects / "-enc" / "chats" / f"{name}.jsonl", dump({**line, "version": "0.24.7"}))
    write(projects / "-enc" / "chats" / "foreign.jsonl", dump({"cwd": CWD}))
    write(projects / "-enc" / "notes.jsonl", dump({"cwd": CWD, "sessionId": "x"}))


def _copilot(home: Path) -> None:
    for name, cwd in ((A, CWD), (C, CWD), (B, OTHER)):
        start = {"sessionId": name, "copilotVersion": "1.0.77", "startTime": TIME}
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
    version = {"qwen-code": "0.24.7", "copilot-cli": "1.0.77"}[harness]
    assert one(source(harness, {"HOME": str(tmp_path)}), A).client == version


def test_every_harness_is_there_by_its_name(tmp_path: Path) -> None:
    named = {name: source(name, {"HOME": str(tmp_path)}).name for name in HARNESSES}
    assert named == {name: name for name in HARNESSES}
    first = ("claude-code", "codex", "openclaw", "hermes")
    assert set(HARNESSES) == {*first, *HOMES}
    with pytest.raises(KeyError):
        source("emacs", {})
