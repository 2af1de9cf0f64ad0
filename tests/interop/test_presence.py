"""Agents and the overview are the same for both."""

import json

from tests.interop.fleet import Fleet


def test_agent_made_by_init_shows_in_the_tree(fleet: Fleet) -> None:
    tree = fleet.tree
    assert {"cli", "tree"} <= set(tree.out("ls agents").split())
    assert tree.out("cat agents/cli") == "active\nInitialized\n"


def test_agent_of_a_mount_shows_on_the_command_line(fleet: Fleet) -> None:
    row = next(it for it in fleet.reference.out("agents").splitlines() if it.startswith("tree "))
    assert row.split() == ["tree", "active", "-", "0m", "ago"]


def test_agent_acting_by_path_shows_on_the_command_line(fleet: Fleet) -> None:
    fleet.tree.out("echo 1 > as/by.path/memory/by.path")
    rows = [it.split()[:2] for it in fleet.reference.out("agents").splitlines()]
    assert ["by.path", "active"] in rows


def test_summary_keeps_what_the_command_line_and_others_wrote(fleet: Fleet) -> None:
    tree = fleet.tree
    before = json.loads(fleet.get("agents/cli.json"))
    fleet.put("agents/cli.json", json.dumps(before | {"worktree": "wt", "mood": "good"}).encode())
    tree.out("echo 'writing tests' > as/cli/agents/cli")
    after = json.loads(fleet.get("agents/cli.json"))
    assert after["summary"] == "writing tests"
    assert (after["worktree"], after["mood"]) == ("wt", "good")
    assert (after["id"], after["started_at"]) == ("cli", before["started_at"])
    assert "writing tests" in tree.out("cat agents/cli")


def test_session_of_an_agent_shows_in_the_tree_and_disturbs_nobody(fleet: Fleet) -> None:
    before = json.loads(fleet.get("agents/cli.json"))
    fleet.put("agents/cli.json", json.dumps(before | {"session": "codex/1"}).encode())
    assert "session codex/1" in fleet.tree.out("cat agents/cli").splitlines()
    rows = [it.split()[:2] for it in fleet.reference.out("agents").splitlines()]
    assert ["cli", "active"] in rows
    fleet.tree.out("echo 'writing tests' > as/cli/agents/cli")
    assert json.loads(fleet.get("agents/cli.json"))["session"] == "codex/1"


def test_old_heartbeat_is_stale_for_both(fleet: Fleet) -> None:
    old = {
        "id": "gone",
        "status": "active",
        "step": None,
        "started_at": "2026-01-01T00:00:00+00:00",
        "heartbeat": "2026-01-01T00:00:00+00:00",
        "summary": "Initialized",
    }
    fleet.put("agents/gone.json", json.dumps(old).encode())
    assert fleet.tree.out("head -1 agents/gone") == "stale\n"
    rows = [it.split()[:2] for it in fleet.reference.out("agents").splitlines()]
    assert ["gone", "stale"] in rows


def test_status_of_the_command_line_counts_what_the_tree_did(fleet: Fleet, newest: bool) -> None:
    tree, reference = fleet.tree, fleet.reference
    if not newest:
        assert "No such command" in reference.refusal("status")
        return
    tree.out(
        "echo > steps/seen.one/claim; echo > steps/two/claim; echo complete > steps/two/status"
    )
    tree.out("mkdir messages/counted; echo hi >> messages/counted/inbox")
    snapshot = json.loads(reference.out("status", "--json"))
    steps = {it["id"]: (it["status"], it["agent"]) for it in snapshot["steps"]}
    assert steps["seen-one"] == ("in_progress", "tree")
    assert steps["two"] == ("complete", "tree")
    assert {"agent": "counted", "total": 1, "unread": None} in snapshot["mailboxes"]
    assert {"cli", "tree"} <= {it["id"] for it in snapshot["agents"]}
    assert "two" in reference.out("status")


def test_status_of_the_tree_counts_what_the_command_line_did(fleet: Fleet) -> None:
    tree, reference = fleet.tree, fleet.reference
    reference.out("claim", "theirs.a")
    reference.out("complete", "theirs.b")
    snapshot = json.loads(tree.out("cat status.json"))
    steps = {it["id"]: (it["status"], it["agent"]) for it in snapshot["steps"]}
    assert steps["theirs-a"] == ("in_progress", "cli")
    assert steps["theirs-b"] == ("complete", "cli")
    assert "theirs-a" in tree.out("cat status")
