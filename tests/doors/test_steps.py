"""Steps through both doors: the rules of a mount are those of the command line (tree.md, steps)."""

import json
from errno import ECANCELED, EEXIST, EINVAL, EISDIR, ENOENT, EPERM, EROFS

import pytest

from tests.doors.conftest import Door
from tests.doors.denied import denied


def test_claim_is_won_by_one_agent(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/claim", "on the API\n")
    for late in (door.developer, door.designer):
        with denied(EEXIST, f"steps/{x} is held by designer"):
            late.write(f"steps/{x}/claim", "me too\n")
    assert door.developer.read(f"steps/{x}/owner") == "designer\n"
    assert door.developer.read(f"steps/{x}/status") == "in_progress\n"
    lines = door.developer.read(f"steps/{x}/claim").splitlines()
    assert (lines[0], lines[-1]) == ("designer", "on the API")


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


def test_holder_adds_to_the_note(door: Door, x: str) -> None:
    door.designer.append(f"steps/{x}/claim", "one\n")
    door.designer.append(f"steps/{x}/claim", "two\n")
    assert door.designer.read(f"steps/{x}/claim").endswith("\n\none\ntwo\n")
    with denied(EPERM, "held by designer"):
        door.developer.append(f"steps/{x}/claim", "three\n")


def test_note_that_is_another_agent_s_id_undoes_the_claim(door: Door, x: str) -> None:
    with denied(EPERM, "you act as designer here, not as developer"):
        door.designer.write(f"steps/{x}/claim", "developer\n")
    assert door.designer.read(f"steps/{x}/status") == "pending\n"


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
    door.designer.write(f"steps/{x}/claim", "mine\n")
    door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.developer.read(f"steps/{x}/status") == "complete\n"
    with denied(EEXIST, f"steps/{x} is complete, finished by designer"):
        door.developer.write(f"steps/{x}/claim", "mine\n")
    with denied(EPERM, "finished by designer"):
        door.designer.rm(f"steps/{x}/claim")


def test_finishing_what_nobody_holds_claims_it_on_the_way(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.designer.read(f"steps/{x}/owner") == "designer\n"


@pytest.mark.parametrize("word", ["complete", "Needs-Review", "blocked", "FAILED"])
def test_word_finishes_whatever_its_case_and_dashes(door: Door, x: str, word: str) -> None:
    door.designer.write(f"steps/{x}/status", f"{word}\n")
    shown = word.lower().replace("-", "_")
    assert door.designer.read(f"steps/{x}/status") == f"{shown}\n"


def test_other_words_are_refused(door: Door, x: str) -> None:
    with denied(EINVAL, "a status is one of: pending in_progress complete"):
        door.designer.write(f"steps/{x}/status", "done\n")


def test_in_progress_needs_a_claim(door: Door, x: str) -> None:
    with denied(EPERM, f"claim first: echo > steps/{x}/claim"):
        door.designer.write(f"steps/{x}/status", "in_progress\n")


def test_another_s_step_is_not_finished(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/claim", "mine\n")
    for name in ("status", "handoff", "notes.txt"):
        with denied(EPERM, "held by designer"):
            door.developer.write(f"steps/{x}/{name}", "complete\n")


def test_who_finished_reopens(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/status", "blocked\n")
    with denied(EPERM, "finished by designer"):
        door.developer.write(f"steps/{x}/status", "pending\n")
    door.designer.write(f"steps/{x}/status", "pending\n")
    door.developer.write(f"steps/{x}/claim", "mine\n")


def test_handoff_is_the_text_that_was_written(door: Door, x: str) -> None:
    text = "To: developer\nNext: read api.py\n\nAPI is in api.py\n"
    with denied(ENOENT):
        door.designer.read(f"steps/{x}/handoff")
    door.designer.write(f"steps/{x}/claim", "mine\n")
    door.designer.write(f"steps/{x}/handoff", text)
    door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.developer.read(f"steps/{x}/handoff") == text
    record = json.loads(door.developer.read(f"steps/{x}/handoff.json"))
    assert (record["next_agent"], record["state"]) == ("developer", "complete")


def test_wait_reads_as_complete_once_the_step_is(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.developer.read(f"steps/{x}/wait") == "complete\n"


@pytest.mark.parametrize("word", ["blocked", "failed"])
def test_wait_ends_when_it_will_not_complete(door: Door, x: str, word: str) -> None:
    door.designer.write(f"steps/{x}/status", f"{word}\n")
    with denied(ECANCELED, f"steps/{x} is {word}, by designer"):
        door.developer.read(f"steps/{x}/wait")


def test_files_of_a_step(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/claim", "mine\n")
    door.designer.write(f"steps/{x}/log.txt", b"\x00one\n")
    door.designer.append(f"steps/{x}/log.txt", "two\n")
    assert door.developer.read(f"steps/{x}/log.txt") == "\x00one\ntwo\n"
    with denied(EEXIST):
        door.designer.exclusive(f"steps/{x}/log.txt", "new\n")
    assert sorted(door.developer.ls(f"steps/{x}")) == ["claim", "log.txt", "owner", "status"]
    assert x in door.developer.ls("steps")


def test_what_is_not_there_is_not_found(door: Door, x: str) -> None:
    for name in ("claim", "owner", "hold", "notes.txt", "claim.json"):
        with denied(ENOENT):
            door.designer.read(f"steps/{x}/{name}")
        with denied(ENOENT):
            door.designer.rm(f"steps/{x}/{name}")


def test_directory_is_no_file(door: Door, x: str) -> None:
    with denied(EISDIR):
        door.designer.append(f"steps/{x}", "mine\n")
    with denied(EISDIR):
        door.designer.read(f"steps/{x}")
    with denied(EISDIR):
        door.designer.rm("steps")


def test_step_is_a_directory_before_anything_is_stored_there(door: Door, x: str) -> None:
    with denied(EEXIST):
        door.designer.mkdir(f"steps/{x}")
    assert door.designer.ls(f"steps/{x}") == ["status"]


def test_other_spelling_is_the_same_step(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x.upper()}.V1/claim", "mine\n")
    assert door.developer.read(f"steps/{x}-v1/owner") == "designer\n"
    assert door.developer.read(f"steps/../steps/./{x.upper()}-V1/owner") == "designer\n"


@pytest.mark.parametrize("name", ["_x", "x" * 201])
def test_what_is_no_id_is_no_step(door: Door, name: str) -> None:
    with denied(EINVAL, ""):
        door.designer.write(f"steps/{name}/claim", "mine\n")


def test_exact_object_is_read_only(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/claim", "mine\n")
    claim = json.loads(door.developer.read(f"steps/{x}/claim.json"))
    assert (claim["agent"], claim["generation"]) == ("designer", 1)
    with denied(EPERM, "shows an object as it is"):
        door.designer.write(f"steps/{x}/claim.json", "{}\n")
    with denied(EPERM):
        door.designer.rm(f"steps/{x}/claim.json")


def test_step_that_is_one_s_own_is_removed_with_all_in_it(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/claim", "mine\n")
    door.designer.write(f"steps/{x}/log.txt", "one\n")
    door.designer.write(f"steps/{x}/handoff", "note\n")
    with denied(EPERM, "held by designer"):
        door.developer.rm_tree(f"steps/{x}")
    door.designer.rm_tree(f"steps/{x}")
    assert x not in door.designer.ls("steps")


def test_path_says_who_acts(door: Door, x: str) -> None:
    door.designer.write(f"as/developer/steps/{x}/claim", "mine\n")
    assert door.designer.read(f"steps/{x}/owner") == "developer\n"
    with denied(EPERM, "held by developer"):
        door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.designer.read("as/developer/.tcfs/agent").startswith("developer\n")
    assert door.designer.read(".tcfs/agent").startswith("designer\n")


def test_views_take_no_writes(door: Door) -> None:
    for name in ("status", "README", ".tcfs/version"):
        with denied(EROFS, "is a view"):
            door.designer.write(name, "x\n")
    with denied(EROFS, "is a view"):
        door.designer.mkdir(".tcfs/things")
    shown = door.designer.ls(".")
    assert {"README", "status", "agents", "memory", "messages", "steps"} <= set(shown)
