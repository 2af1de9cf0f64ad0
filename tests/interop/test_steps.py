"""A step is one step, whether `tracecraft` or a file operation acts on it."""

import json
import subprocess

from tests.interop.fleet import Fleet


def test_claim_by_the_command_line_is_seen_in_the_tree(fleet: Fleet) -> None:
    tree, reference = fleet.tree, fleet.reference
    assert reference.out("claim", "Seen.A") == "Claimed step Seen.A as cli\n"
    assert "seen-a" in tree.out("ls steps").split()
    assert tree.out("readlink steps/Seen.A") == "seen-a\n"
    assert tree.out("cat steps/Seen.A/owner") == "cli\n"
    assert tree.out("head -1 steps/seen-a/claim") == "cli\n"
    assert tree.out("cat steps/seen-a/status") == "in_progress\n"
    assert json.loads(tree.out("cat steps/seen-a/claim.json"))["agent"] == "cli"


def test_every_way_to_claim_loses_to_the_command_line(fleet: Fleet) -> None:
    tree = fleet.tree
    fleet.reference.out("claim", "lost")
    for verb in ("echo mine >", "mkdir", "ln -s mine", "touch"):
        done = tree.sh(f"{verb} steps/lost/claim")
        assert done.returncode != 0, verb
        assert "File exists" in done.stderr
    assert "existing file" in tree.sh("set -C; echo mine > steps/lost/claim").stderr
    assert tree.out("cat steps/lost/owner") == "cli\n"


def test_claim_in_the_tree_is_one_for_the_command_line_which_says_who_holds_it(
    fleet: Fleet,
) -> None:
    fleet.tree.out("echo 'on it' > steps/Taken.A/claim")
    refusal = fleet.reference.refusal("claim", "TAKEN.a")
    assert "Step TAKEN.a already claimed by tree" in refusal
    said = fleet.reference.out("step-status", "taken-a")
    assert said == "taken-a: in_progress (agent: tree)\n"


def test_claim_without_a_note_is_in_progress_for_the_command_line(fleet: Fleet) -> None:
    for verb, step in (("mkdir", "dir"), ("ln -s note", "link"), ("touch", "touched")):
        fleet.tree.out(f"{verb} steps/{step}/claim; cat steps/{step}/status")
    said = fleet.reference.refusal("claim", "link")
    assert "already claimed by tree" in said
    assert "in_progress (agent: tree)" in fleet.reference.out("step-status", "link")


def test_step_completed_by_the_command_line_is_complete_in_the_tree(fleet: Fleet) -> None:
    tree, reference = fleet.tree, fleet.reference
    reference.out("claim", "done-there")
    reference.out("complete", "done-there", "--note", "see api.py")
    assert tree.out("cat steps/done-there/status") == "complete\n"
    assert tree.out("cat steps/done-there/wait") == "complete\n"
    assert tree.out("cat steps/done-there/handoff") == "see api.py\n"
    assert tree.out("cat steps/done-there/owner") == "cli\n"


def test_step_completed_by_the_command_line_cannot_be_claimed_in_the_tree(fleet: Fleet) -> None:
    fleet.reference.out("claim", "over")
    fleet.reference.out("complete", "over")
    for verb in ("echo mine >", "mkdir", "ln -s mine"):
        done = fleet.tree.sh(f"{verb} steps/over/claim")
        assert "File exists" in done.stderr
    assert fleet.tree.out("cat steps/over/status") == "complete\n"


def test_unclaimed_step_completed_by_the_command_line_cannot_be_claimed_in_the_tree(
    fleet: Fleet,
) -> None:
    fleet.reference.out("complete", "unclaimed")
    assert fleet.tree.out("cat steps/unclaimed/status") == "complete\n"
    assert "File exists" in fleet.tree.sh("echo mine > steps/unclaimed/claim").stderr


def test_complete_with_all_its_flags_is_the_handoff_in_the_tree(fleet: Fleet, newest: bool) -> None:
    tree, reference = fleet.tree, fleet.reference
    reference.out("claim", "Flags.1")
    if not newest:
        reference.out("complete", "Flags.1", "--note", "note\nof two lines")
        assert tree.out("cat steps/flags-1/handoff") == "note\nof two lines\n"
        return
    git = ["git", "-C", str(reference.home), "-c", "user.name=n", "-c", "user.email=e@localhost"]
    (reference.home / "api.py").write_text("1\n")
    for arguments in (["init", "-q"], ["add", "api.py"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    (reference.home / "api.py").write_text("2\n")
    reference.out(
        *("complete", "Flags.1", "--note", "note\nof two lines", "--to", "tree"),
        *("--next-action", "read api.py", "--needs-review", "--changed-files-from-git"),
    )
    text = "To: tree\nNext: read api.py\n\nnote\nof two lines\n"
    assert tree.out("cat steps/flags-1/handoff") == text
    assert tree.out("cat steps/flags-1/status") == "needs_review\n"
    document = json.loads(tree.out("cat steps/flags-1/handoff.json"))
    assert document["changed_files"] == ["api.py"]
    assert document["from_step"] == "Flags.1"
    tree.out("echo 'another note' > as/cli/steps/flags-1/handoff")
    document = json.loads(fleet.get("steps/flags-1/handoff.json"))
    assert document["note"] == "another note"
    assert document["changed_files"] == ["api.py"]


def test_step_finished_in_the_tree_is_finished_for_the_command_line(fleet: Fleet) -> None:
    tree, reference = fleet.tree, fleet.reference
    tree.out("echo > steps/Done.Here/claim; echo complete > steps/Done.Here/status")
    assert reference.out("step-status", "done.here") == "done.here: complete (agent: tree)\n"
    assert reference.out("wait-for", "Done.Here") == "All steps complete: Done.Here\n"
    assert "already claimed by tree" in reference.refusal("claim", "Done.Here")


def test_handoff_written_in_the_tree_is_the_record_the_command_line_writes(
    fleet: Fleet,
) -> None:
    fleet.tree.out(
        "cd steps/handed; echo > claim;"
        "printf 'To: cli\\nNext: read it\\n\\nAPI is in api.py\\n' > handoff;"
        "echo needs-review > status"
    )
    record = json.loads(fleet.get("steps/handed/handoff.json"))
    known = {
        "schema": 2,
        "from_agent": "tree",
        "from_step": "handed",
        "next_agent": "cli",
        "state": "needs_review",
        "next_action": "read it",
        "note": "API is in api.py",
    }
    assert record.items() >= known.items()
    said = fleet.reference.out("step-status", "handed")
    assert said == "handed: needs_review (agent: tree)\n"


def test_claim_given_back_in_the_tree_is_won_by_the_command_line(fleet: Fleet) -> None:
    fleet.tree.out("echo > steps/back/claim; rm steps/back/claim")
    assert fleet.reference.out("step-status", "back").startswith("back: pending")
    fleet.reference.out("claim", "back")
    assert fleet.tree.out("cat steps/back/owner steps/back/status") == "cli\nin_progress\n"


def test_step_reopened_in_the_tree_is_won_by_the_command_line(fleet: Fleet) -> None:
    fleet.tree.out(
        "cd steps/again; echo > claim; echo complete > status; echo pending > status; cat status"
    )
    assert fleet.reference.out("step-status", "again").startswith("again: pending")
    fleet.reference.out("claim", "again")
    assert "File exists" in fleet.tree.sh("echo > steps/again/claim").stderr


def test_step_of_the_command_line_is_given_back_and_finished_by_its_agent_in_the_tree(
    fleet: Fleet,
) -> None:
    tree, reference = fleet.tree, fleet.reference
    reference.out("claim", "mine-back")
    assert "not permitted" in tree.sh("rm steps/mine-back/claim").stderr
    tree.out("rm as/cli/steps/mine-back/claim")
    reference.out("claim", "mine-back", agent="other")
    assert tree.out("cat steps/mine-back/owner") == "other\n"
    tree.out("echo complete > as/other/steps/mine-back/status")
    said = reference.out("step-status", "mine-back")
    assert said == "mine-back: complete (agent: other)\n"


def test_step_claimed_in_the_tree_is_completed_by_its_agent_on_the_command_line(
    fleet: Fleet, newest: bool
) -> None:
    tree, reference = fleet.tree, fleet.reference
    tree.out("echo 'half done' > steps/moved/claim")
    if newest:  # the older one completes whatever it is told to
        assert "is claimed by 'tree'" in reference.refusal("complete", "moved")
    reference.out("complete", "moved", "--note", "whole", agent="tree")
    assert tree.out("cat steps/moved/status steps/moved/handoff") == "complete\nwhole\n"
    assert "File exists" in tree.sh("echo > steps/moved/claim").stderr


def test_wait_in_the_tree_ends_when_the_command_line_completes(fleet: Fleet) -> None:
    fleet.reference.out("claim", "awaited")
    waiting = subprocess.Popen(
        ["cat", "steps/awaited/wait"], cwd=fleet.tree.path, stdout=subprocess.PIPE, text=True
    )
    with waiting:
        fleet.reference.out("complete", "awaited")
        out, _ = waiting.communicate(timeout=30)
    assert (waiting.returncode, out) == (0, "complete\n")


def test_step_blocked_in_the_tree_makes_wait_for_fail_fast(fleet: Fleet, newest: bool) -> None:
    fleet.tree.out("echo > steps/stuck/claim; echo blocked > steps/stuck/status")
    assert fleet.reference.out("step-status", "stuck") == "stuck: blocked (agent: tree)\n"
    if newest:  # the older one waits until its time is up
        assert "Step stuck is blocked (agent: tree)" in fleet.reference.refusal("wait-for", "stuck")


def test_step_blocked_by_the_command_line_cancels_a_wait_in_the_tree(
    fleet: Fleet, newest: bool
) -> None:
    fleet.reference.out("claim", "stuck-there")
    if newest:
        fleet.reference.out("complete", "stuck-there", "--blocked", "--note", "no key")
    else:  # it knows no such state; a newer one in its fleet writes this
        status = {"status": "blocked", "agent": "cli", "started_at": "2026-01-01T00:00:00+00:00"}
        fleet.put("steps/stuck-there/status.json", json.dumps(status).encode())
    done = fleet.tree.sh("cat steps/stuck-there/wait")
    assert done.returncode != 0
    assert "Operation canceled" in done.stderr


def test_documents_keep_what_the_command_line_and_others_wrote(fleet: Fleet) -> None:
    tree, reference = fleet.tree, fleet.reference
    reference.out("claim", "kept")
    claim = json.loads(fleet.get("steps/kept/claim.json"))
    status = json.loads(fleet.get("steps/kept/status.json"))
    fleet.put("steps/kept/claim.json", json.dumps(claim | {"mood": "good"}).encode())
    fleet.put("steps/kept/status.json", json.dumps(status | {"mood": "fine"}).encode())
    tree.out(
        "cd as/cli/steps/kept; echo more >> claim; echo note > handoff; echo needs_review > status"
    )
    now = json.loads(fleet.get("steps/kept/claim.json"))
    assert (now["claimed_at"], now["mood"]) == (claim["claimed_at"], "good")
    now = json.loads(fleet.get("steps/kept/status.json"))
    assert (now["started_at"], now["mood"]) == (status["started_at"], "fine")


def test_slash_in_a_step_of_the_oldest_command_line_is_tolerated(
    fleet: Fleet, newest: bool
) -> None:
    tree, reference = fleet.tree, fleet.reference
    if newest:
        assert "may not contain '/'" in reference.refusal("claim", "nest/inner")
        return
    reference.out("claim", "nest/inner")
    assert json.loads(tree.out("cat .tcfs/raw/steps/nest/inner/claim.json"))["agent"] == "cli"
    tree.out("ls -lR steps; cat status status.json")
    tree.out("echo > steps/nest/claim; echo complete > steps/nest/status")
    assert reference.out("step-status", "nest") == "nest: complete (agent: tree)\n"
    assert reference.out("step-status", "nest/inner").startswith("nest/inner: in_progress")
