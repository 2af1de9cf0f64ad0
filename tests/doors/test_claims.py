"""Claims: every verb that makes a file takes the step (tree.md, steps)."""

import json
import os
from errno import EEXIST, EINVAL, ENOENT, EPERM

import pytest

from tests.doors.denied import denied
from tests.doors.hands import Door
from tests.doors.shell import Mounts
from tests.mounts import until

NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

no_verb = pytest.mark.mount_only("no command touches, links or renames")
held_open = pytest.mark.mount_only("a command opens, writes and lets go at once")


def test_any_valid_id_is_a_directory_with_its_virtual_files(door: Door, x: str) -> None:
    """A valid step id is a directory before anything is stored there."""
    assert door.designer.read(f"steps/{x}/status") == "pending\n"
    assert door.designer.ls(f"steps/{x}") == ["status"]
    assert door.designer.stat(f"steps/{x}").kind == "directory"
    assert x not in door.designer.ls("steps")
    with denied(EEXIST):
        door.designer.mkdir(f"steps/{x}")
    door.designer.mkdir_parents(f"steps/{x}")
    assert door.bucket.keys(f"steps/{x}/") == []


@pytest.mark.parametrize(
    "name", ["claim", "owner", "handoff", "claim.json", "status.json", "hold", "after", "notes.txt"]
)
def test_what_is_not_there_is_not_found(door: Door, x: str, name: str) -> None:
    for act in (door.designer.read, door.designer.stat, door.designer.rm):
        with denied(ENOENT):
            act(f"steps/{x}/{name}")


def test_claim_is_won_by_one_agent(door: Door, x: str) -> None:
    """A claim is won by one agent, whichever tool or host the others use. Whoever has a claim is
    told File exists by the next one, as everybody is."""
    door.designer.write(f"steps/{x}/claim", "on the API\n")
    for late in (door.developer, door.designer):
        with denied(EEXIST, f"steps/{x} is held by designer"):
            late.write(f"steps/{x}/claim", "me too\n")
        with denied(EEXIST, f"cat steps/{x}/wait"):
            late.write(f"steps/{x}/claim", "")
    assert door.developer.read(f"steps/{x}/owner") == "designer\n"


def test_claim_is_shown_by_all_its_views(door: Door, x: str) -> None:
    """One value a file: it prints the value and a newline, nothing else."""
    door.designer.write(f"steps/{x}/claim", "what I will do\n")
    text = door.developer.read(f"steps/{x}/claim")
    head, _, note = text.partition("\n\n")
    assert head.split("\n")[0] == "designer"
    assert head.split("\n")[1].startswith("claimed 20")
    assert note == "what I will do\n"
    assert door.developer.read(f"steps/{x}/owner") == "designer\n"
    assert door.developer.read(f"steps/{x}/status") == "in_progress\n"
    assert json.loads(door.developer.read(f"steps/{x}/claim.json"))["agent"] == "designer"
    assert json.loads(door.developer.read(f"steps/{x}/status.json"))["note"] == "what I will do\n"
    assert x in door.developer.ls("steps")
    assert door.developer.ls(f"steps/{x}") == ["status", "owner", "claim"], "claim last, for rm -r"
    assert door.developer.stat(f"steps/{x}/claim").size == len(text)
    assert door.developer.stat(f"steps/{x}/status").size == len("in_progress\n")


def test_mkdir_claims_and_the_next_one_is_told_file_exists(door: Door, x: str) -> None:
    door.designer.mkdir(f"steps/{x}/claim")
    assert door.designer.read(f"steps/{x}/owner") == "designer\n"
    with denied(EEXIST):
        door.developer.mkdir(f"steps/{x}/claim")


def test_exclusive_claim_is_a_claim(door: Door, x: str) -> None:
    door.designer.exclusive(f"steps/{x}/claim", "mine\n")
    with denied(EEXIST):
        door.developer.exclusive(f"steps/{x}/claim", "mine\n")
    assert door.designer.read(f"steps/{x}/owner") == "designer\n"


@no_verb
def test_every_verb_that_makes_a_file_claims(mounted: Mounts, x: str) -> None:
    hand = mounted.designer
    hand.touch(f"steps/{x}-touch/claim")
    hand.symlink(f"steps/{x}-ln/claim", "the note")
    hand.write(f"steps/{x}-mv/tmp", "moved\n")
    hand.rename(f"steps/{x}-mv/tmp", f"steps/{x}-mv/claim")
    for verb in ("touch", "ln", "mv"):
        assert hand.read(f"steps/{x}-{verb}/status") == "in_progress\n"
        assert hand.stat(f"steps/{x}-{verb}/claim").kind == "file"
    assert hand.read(f"steps/{x}-ln/claim").endswith("\n\nthe note\n")
    assert hand.read(f"steps/{x}-mv/claim").endswith("\n\nmoved\n")
    with denied(EEXIST):
        mounted.developer.symlink(f"steps/{x}-touch/claim", "the note")
    hand.write(f"steps/{x}-touch/tmp", "x\n")
    with denied(EEXIST, "is held by designer"):
        hand.rename(f"steps/{x}-touch/tmp", f"steps/{x}-touch/claim")
    assert "tmp" in hand.ls(f"steps/{x}-touch"), "what was not moved stays"


@no_verb
def test_setting_the_times_of_a_claim_is_a_claim_that_lost(mounted: Mounts, x: str) -> None:
    mounted.designer.write(f"steps/{x}/claim", "mine\n")
    for hand in (mounted.designer, mounted.developer):
        with denied(EEXIST, "held by designer"):
            hand.touch(f"steps/{x}/claim")
        with denied(EEXIST, "held by designer"):
            hand.sh('touch -c -d 2020-01-01 "$0"', f"steps/{x}/claim")
        with denied(EEXIST, "held by designer"):
            hand.truncate(f"steps/{x}/claim", 0)


@held_open
def test_losing_claim_is_refused_at_open(mounted: Mounts, x: str) -> None:
    mounted.designer.write(f"steps/{x}/claim", "mine\n")
    for flags, code in ((NEW, EEXIST), (os.O_WRONLY | os.O_APPEND, EPERM)):
        with (
            denied(code, f"steps/{x} is held by designer"),
            mounted.developer.opened(f"steps/{x}/claim", flags),
        ):
            pytest.fail("it was opened")


def test_whole_group_is_one_note(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/claim", "one\ntwo\n")
    assert door.designer.read(f"steps/{x}/claim").endswith("\n\none\ntwo\n")


@held_open
def test_note_is_written_later_and_the_status_meanwhile(mounted: Mounts, x: str) -> None:
    hand = mounted.designer
    with hand.opened(f"steps/{x}/claim", NEW) as claim:
        until(lambda: mounted.bucket.body(f"steps/{x}/status.json"), "the status")
        assert hand.read(f"steps/{x}/status") == "in_progress\n"
        claim.write(b"late").write(b" enough\n")
    assert hand.read(f"steps/{x}/claim").endswith("\n\nlate enough\n")


@held_open
def test_killed_writer_leaves_the_claim_without_its_note(mounted: Mounts, x: str) -> None:
    """A writer that is killed by a signal stores nothing in the end."""
    mounted.designer.killed(f"steps/{x}/claim", "half")
    assert "half" not in mounted.designer.read(f"steps/{x}/claim")
    assert mounted.designer.read(f"steps/{x}/owner") == "designer\n"
    assert mounted.designer.read(f"steps/{x}/status") == "in_progress\n"


def test_holder_adds_to_the_note(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/claim", "one\n")
    door.designer.append(f"steps/{x}/claim", "two\n")
    assert door.designer.read(f"steps/{x}/claim").endswith("\n\none\ntwo\n")
    with denied(EPERM, "held by designer, not by you"):
        door.developer.append(f"steps/{x}/claim", "three\n")


def test_note_that_is_another_agent_s_id_undoes_the_claim(door: Door, x: str) -> None:
    with denied(EPERM, "you act as designer here, not as developer"):
        door.designer.write(f"steps/{x}/claim", "developer\n")
    assert door.designer.read(f"steps/{x}/status") == "pending\n"
    door.designer.write(f"steps/{x}/claim", "developer will review\n")
    door.designer.write(f"steps/{x}-2/claim", "designer\n")


@held_open
def test_slow_note_that_names_another_agent_undoes_the_claim_too(mounted: Mounts, x: str) -> None:
    """`whoami | tee claim`: the status is written before the note comes."""
    hand = mounted.designer
    with hand.opened(f"steps/{x}/claim", NEW) as claim:
        until(lambda: mounted.bucket.body(f"steps/{x}/status.json"), "the status")
        with denied(EPERM, "the claim was undone"):
            claim.write(b"developer\n")
    assert hand.read(f"steps/{x}/status") == "pending\n"


def test_claim_stands_when_its_note_is_refused(door: Door, x: str) -> None:
    with denied(EINVAL, "UTF-8"):
        door.designer.write(f"steps/{x}/claim", b"\xff\n")
    with denied(EINVAL, "artifacts/"):
        door.designer.write(f"steps/{x}-2/claim", b"x" * ((1 << 20) + 1))
    for step in (x, f"{x}-2"):
        assert door.developer.read(f"steps/{step}/owner") == "designer\n"


def test_holder_gives_back_and_nobody_else(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/claim", "mine\n")
    with denied(EPERM, "held by designer, not by you"):
        door.developer.rm(f"steps/{x}/claim")
    door.designer.rm(f"steps/{x}/claim")
    assert door.designer.read(f"steps/{x}/status") == "pending\n"
    with denied(ENOENT):
        door.designer.read(f"steps/{x}/owner")
    door.developer.write(f"steps/{x}/claim", "now mine\n")


def test_finished_step_is_not_claimed(door: Door, x: str) -> None:
    """A finished step cannot be claimed; who finished it reopens it with `pending`."""
    door.designer.write(f"steps/{x}/claim", "mine\n")
    door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.developer.read(f"steps/{x}/status") == "complete\n"
    with denied(EEXIST, f"steps/{x} is complete, finished by designer"):
        door.developer.write(f"steps/{x}/claim", "mine\n")
    with denied(EPERM, "finished by designer"):
        door.designer.rm(f"steps/{x}/claim")


def test_reference_s_claim_is_shown_and_kept(door: Door, x: str) -> None:
    at = "2026-03-22T15:00:00+00:00"
    claim = {"agent": "r", "claimed_at": at}
    status = {"status": "complete", "agent": "r", "started_at": at, "completed_at": at}
    handoff = {"from_agent": "r", "from_step": "X", "note": "n", "created_at": "t"}
    door.bucket.place(f"steps/{x}/claim.json", json.dumps(claim).encode())
    assert door.designer.read(f"steps/{x}/owner") == "r\n"
    assert door.designer.read(f"steps/{x}/claim").startswith("r\nclaimed 2026-03-22T15:00:00")
    door.bucket.place(f"steps/{x}/status.json", json.dumps(status).encode())
    door.bucket.place(f"steps/{x}/handoff.json", json.dumps(handoff).encode())
    assert door.designer.read(f"steps/{x}/status") == "complete\n"
    assert door.designer.read(f"steps/{x}/handoff") == "n\n"
    with denied(EPERM, "finished by r"):
        door.designer.rm(f"steps/{x}/claim")


def test_what_is_left_of_a_claim_does_not_keep_a_step(door: Door, x: str) -> None:
    claim = {"agent": "b", "id": "t1", "nonce": "n", "generation": 1}  # it landed late
    status = {"status": "pending", "agent": "c", "claim": "t2", "generation": 2}
    door.bucket.place(f"steps/{x}/claim.json", json.dumps(claim).encode())
    door.bucket.place(f"steps/{x}/status.json", json.dumps(status).encode())
    with denied(ENOENT):
        door.designer.stat(f"steps/{x}/claim")
    assert door.designer.ls(f"steps/{x}") == ["status"]
    door.designer.rm(f"steps/{x}/status")
    assert door.designer.read(f"steps/{x}/status") == "pending\n", "the claim did not come back"
    door.designer.rm_tree(f"steps/{x}")
    assert door.bucket.keys(f"steps/{x}/") == []
