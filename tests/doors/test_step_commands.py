"""The steps' own verbs, which only the commands have: complete, reopen, wait (cli.md)."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tcfs.cli._failure import Exit
from tests.doors.command import Command, process


def test_complete_finishes_with_a_record_on_one_command(designer: Command, x: str) -> None:
    said = designer.run("complete", x, "--note", "API is in api.py", "--to", "developer")
    assert said == f"steps/{x} is complete, for developer\n"
    assert designer.read(f"steps/{x}/status") == "complete\n"
    assert designer.read(f"steps/{x}/handoff") == "To: developer\n\nAPI is in api.py\n"
    record = json.loads(designer.read(f"steps/{x}/handoff.json"))
    claim = json.loads(designer.read(f"steps/{x}/claim.json"))
    assert (record["state"], record["claim"]) == ("complete", claim["id"])
    designer.run("complete", x)  # again is as good


def test_complete_keeps_what_was_written_before(designer: Command, x: str) -> None:
    designer.write(f"steps/{x}/claim", "mine\n")
    designer.write(f"steps/{x}/handoff", "API is in api.py\n")
    designer.run("complete", f"steps/{x}", "--next-action", "read it")
    assert designer.read(f"steps/{x}/handoff") == "Next: read it\n\nAPI is in api.py\n"


@pytest.mark.parametrize(
    ("flag", "state"), [("--blocked", "blocked"), ("--needs-review", "needs_review")]
)
def test_complete_ends_in_other_states_too(
    designer: Command, x: str, flag: str, state: str
) -> None:
    facts = json.loads(designer.run("complete", x.upper(), flag, "--json"))
    assert (facts["step"], facts["status"], facts["agent"]) == (x, state, "designer")
    assert designer.read(f"steps/{x}/status") == f"{state}\n"
    code, _, err = designer.outcome("complete", x)
    assert (code, err) == (
        Exit.FAILED,
        f"tcfs: steps/{x} is {state} already; first: tcfs reopen {x}\n",
    )


def test_complete_records_what_git_sees_changed(
    designer: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, x: str
) -> None:
    monkeypatch.chdir(tmp_path)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    (tmp_path / "größe.py").write_text("1\n")
    for command in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "one")):
        subprocess.run(["git", *command], check=True)
    (tmp_path / "größe.py").write_text("2\n")
    said = designer.run("complete", x, "--changed-files-from-git")
    assert said == f"steps/{x} is complete, 1 changed files recorded\n"
    assert json.loads(designer.read(f"steps/{x}/handoff.json"))["changed_files"] == ["größe.py"]


def test_complete_without_git_records_none_and_says_so(
    designer: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, x: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = designer.outcome("complete", x, "--changed-files-from-git")
    assert (code, out) == (Exit.DONE, f"steps/{x} is complete, 0 changed files recorded\n")
    assert err.startswith("tcfs: no changed files are recorded: ")
    assert json.loads(designer.read(f"steps/{x}/handoff.json"))["changed_files"] == []


def test_step_of_another_is_completed_by_force_only(
    designer: Command, developer: Command, x: str
) -> None:
    """`tcfs complete --force` takes the claim over with the next generation; what its holder
    writes is refused from then on."""
    designer.write(f"steps/{x}/claim", "mine\n")
    code, _, err = developer.outcome("complete", x, "--note", "done")
    assert code == Exit.FAILED
    assert err.startswith(f"tcfs: steps/{x} is held by designer, not by developer; ")
    assert "--force" in err
    assert designer.read(f"steps/{x}/status") == "in_progress\n"
    developer.run("complete", x, "--note", "done", "--force")
    claim = json.loads(designer.read(f"steps/{x}/claim.json"))
    assert (claim["agent"], claim["generation"], claim["result"]) == ("developer", 2, "complete")
    code, _, err = designer.outcome("put", f"steps/{x}/status", data="blocked\n")
    assert (code, "finished by developer" in err) == (Exit.FAILED, True)
    code, _, err = designer.outcome("complete", x, "--force")
    assert (code, err) == (
        Exit.FAILED,
        f"tcfs: steps/{x} is complete, finished by developer; they can reopen it\n",
    )


def test_reopen_is_for_who_finished(designer: Command, developer: Command, x: str) -> None:
    designer.run("complete", x)
    code, _, err = developer.outcome("reopen", x)
    assert (code, "finished by designer" in err) == (Exit.FAILED, True)
    assert designer.run("reopen", x) == f"steps/{x} is pending\n"
    assert designer.run("reopen", x) == f"steps/{x} is pending\n"


def test_wait_returns_when_all_are_complete(designer: Command, x: str) -> None:
    designer.run("complete", x)
    designer.run("complete", f"{x}-2")
    assert designer.run("wait", x, f"steps/{x}-2", x) == f"complete: {x} {x}-2\n"
    facts = json.loads(designer.run("wait", x, "--json"))
    assert facts == {
        "complete": True,
        "steps": [{"step": x, "status": "complete", "agent": "designer"}],
    }


def test_wait_fails_at_once_when_one_is_blocked(designer: Command, x: str) -> None:
    designer.run("complete", x, "--blocked")
    designer.write(f"steps/{x}-2/claim", "mine\n")
    code, out, err = designer.outcome("wait", f"{x}-2", x, "--json")
    assert code == Exit.FAILED
    assert err.startswith(f"tcfs: steps/{x} is blocked, by designer: ")
    assert [it["status"] for it in json.loads(out)["steps"]] == ["in_progress", "blocked"]


def test_wait_that_takes_too_long_exits_124(designer: Command, x: str) -> None:
    designer.write(f"steps/{x}/claim", "mine\n")
    code, out, err = designer.outcome("wait", x, "--timeout", "0")
    assert (code, out) == (Exit.TIMED_OUT, "")
    assert err == (
        f"tcfs: steps/{x} is in_progress by designer after 0 s; wait longer with --timeout\n"
    )


def test_wait_for_a_step_nobody_has_heard_of_names_the_nearest(designer: Command, x: str) -> None:
    designer.write(f"steps/{x}-design/claim", "mine\n")
    code, _, err = designer.outcome("wait", f"{x}-desing", "--timeout", "0")
    assert code == Exit.TIMED_OUT
    assert f"waiting for steps/{x}-desing, which has nothing in it; nearest: {x}-design" in err


def test_wait_shows_its_progress_on_a_terminal_only(store: Path, x: str) -> None:
    ours, theirs = pty.openpty()
    with process(store, "wait", x, "--timeout", "0.1", stderr=theirs) as wait:
        os.close(theirs)
        shown = b""
        while b"after 0.1 s" not in shown:
            shown += os.read(ours, 4096)
        assert wait.wait(30) == Exit.TIMED_OUT
    os.close(ours)
    assert f"waiting for {x}, ".encode() in shown
    assert b"s left\r\x1b[K" in shown, "the line is gone in the end"
