"""Steps through both doors: status, handoff, wait and what else one has (tree.md, steps)."""

import json
from errno import ECANCELED, EEXIST, EINVAL, ENOENT, ENOTEMPTY, EPERM, EXDEV

import pytest

from tests.doors.denied import denied
from tests.doors.hands import Door
from tests.doors.shell import Mounts

WORDS = "pending in_progress complete blocked needs_review failed"


@pytest.mark.parametrize("word", ["complete", "blocked", "needs_review", "failed"])
def test_words_that_finish(door: Door, x: str, word: str) -> None:
    door.designer.write(f"steps/{x}/claim", "mine\n")
    door.designer.write(f"steps/{x}/status", f"{word}\n")
    assert door.developer.read(f"steps/{x}/status") == f"{word}\n"
    assert json.loads(door.developer.read(f"steps/{x}/handoff.json"))["state"] == word
    assert f"finished {word}" in door.developer.read(f"steps/{x}/claim")
    with denied(EEXIST, f"is {word}, finished by designer"):
        door.developer.write(f"steps/{x}/claim", "again\n")


@pytest.mark.parametrize("word", ["Needs-Review", " needs_review ", "NEEDS-REVIEW", "needs_review"])
def test_word_finishes_whatever_its_case_and_dashes(door: Door, x: str, word: str) -> None:
    door.designer.write(f"steps/{x}/status", word)
    assert door.designer.read(f"steps/{x}/status") == "needs_review\n"


def test_finishing_what_nobody_holds_claims_it_on_the_way(door: Door, x: str) -> None:
    """Finishing what nobody holds claims it on the way."""
    door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.designer.read(f"steps/{x}/owner") == "designer\n"


def test_status_word_may_be_appended(door: Door, x: str) -> None:
    """`>>` writes at the end of what the file shows: the kernel's offset means nothing."""
    door.designer.append(f"steps/{x}/status", "complete\n")
    assert door.designer.read(f"steps/{x}/status") == "complete\n"


@pytest.mark.parametrize("word", ["done\n", "\xff", "complete failed\n"])
def test_other_words_are_refused(door: Door, x: str, word: str) -> None:
    with denied(EINVAL, f"a status is one of: {WORDS}"):
        door.designer.write(f"steps/{x}/status", word)


def test_in_progress_needs_a_claim(door: Door, x: str) -> None:
    with denied(EPERM, f"claim first: echo > steps/{x}/claim"):
        door.designer.write(f"steps/{x}/status", "in_progress\n")
    door.designer.write(f"steps/{x}/claim", "mine\n")
    door.designer.write(f"steps/{x}/status", "in_progress\n")
    assert door.designer.read(f"steps/{x}/status") == "in_progress\n"


def test_another_s_step_is_not_changed(door: Door, x: str) -> None:
    """What else is in a step is changed by whoever holds or finished it, or by anybody if nobody
    does."""
    door.designer.write(f"steps/{x}/log.txt", "one\n")
    door.designer.write(f"steps/{x}/claim", "mine\n")
    for name in ("status", "handoff", "notes.txt", "log.txt"):
        with denied(EPERM, "held by designer"):
            door.developer.write(f"steps/{x}/{name}", "complete\n")
    with denied(EPERM, "held by designer"):
        door.developer.append(f"steps/{x}/log.txt", "two\n")
    with denied(EPERM, "held by designer"):
        door.developer.rm(f"steps/{x}/log.txt")
    assert door.designer.read(f"steps/{x}/status") == "in_progress\n"
    door.designer.append(f"steps/{x}/log.txt", "two\n")
    assert door.developer.read(f"steps/{x}/log.txt") == "one\ntwo\n"
    door.designer.write(f"steps/{x}/status", "complete\n")
    with denied(EPERM, "finished by designer"):
        door.developer.write(f"steps/{x}/log.txt", "three\n")
    door.designer.rm(f"steps/{x}/log.txt")


def test_opening_a_status_to_write_changes_nothing_yet(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/status", "")
    assert door.designer.read(f"steps/{x}/status") == "pending\n"
    assert door.bucket.keys(f"steps/{x}/") == []


@pytest.mark.mount_only("no command truncates")
def test_cutting_a_status_changes_nothing_either(mounted: Mounts, x: str) -> None:
    mounted.designer.truncate(f"steps/{x}/status", 0)
    assert mounted.bucket.keys(f"steps/{x}/") == []
    mounted.designer.write(f"steps/{x}/claim", "mine\n")
    with denied(EPERM, "held by designer"):
        mounted.developer.truncate(f"steps/{x}/status", 0)


def test_who_finished_reopens(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/status", "blocked\n")
    with denied(EPERM, "finished by designer"):
        door.developer.write(f"steps/{x}/status", "pending\n")
    door.designer.write(f"steps/{x}/status", "pending\n")
    assert door.designer.read(f"steps/{x}/status") == "pending\n"
    with denied(ENOENT):
        door.designer.read(f"steps/{x}/claim")
    door.developer.write(f"steps/{x}/claim", "mine\n")


def test_handoff_is_the_text_that_was_written(door: Door, x: str) -> None:
    text = "To: developer\nNext: read api.py\n\nAPI is in api.py\n"
    door.designer.write(f"steps/{x}/claim", "mine\n")
    door.designer.write(f"steps/{x}/handoff", text)
    assert "handoff" in door.designer.ls(f"steps/{x}")
    door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.developer.read(f"steps/{x}/handoff") == text
    record = json.loads(door.developer.read(f"steps/{x}/handoff.json"))
    assert (record["next_agent"], record["next_action"]) == ("developer", "read api.py")
    assert record["state"] == "complete"


def test_handoff_is_added_to(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/handoff", "look here\n")
    door.designer.append(f"steps/{x}/handoff", "")
    assert door.designer.read(f"steps/{x}/handoff") == "look here\n"
    door.designer.append(f"steps/{x}/handoff", "and there\n")
    assert door.designer.read(f"steps/{x}/handoff") == "look here\nand there\n"
    with denied(EINVAL, "UTF-8"):
        door.designer.write(f"steps/{x}/handoff", b"\xff\n")


def test_handoff_nobody_holds_may_be_written(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/handoff", "read this first\n")
    assert door.developer.read(f"steps/{x}/handoff") == "read this first\n"


def test_wait_reads_as_complete_once_the_step_is(door: Door, x: str) -> None:
    """A file that blocks is not listed."""
    door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.developer.read(f"steps/{x}/wait") == "complete\n"
    assert "wait" not in door.developer.ls(f"steps/{x}")
    assert door.developer.stat(f"steps/{x}/wait").size == 0
    with denied(EPERM, f"cat steps/{x}/wait"):
        door.developer.write(f"steps/{x}/wait", "complete\n")
    with denied(EPERM, "is a view"):
        door.designer.rm(f"steps/{x}/wait")


@pytest.mark.parametrize("word", ["blocked", "failed"])
def test_wait_ends_when_it_will_not_complete(door: Door, x: str, word: str) -> None:
    door.designer.write(f"steps/{x}/status", f"{word}\n")
    with denied(ECANCELED, f"steps/{x} is {word}, by designer"):
        door.developer.read(f"steps/{x}/wait")


def test_files_of_a_step(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/notes.bin", b"\xff\x00bytes")
    assert door.bucket.body(f"steps/{x}/notes.bin") == b"\xff\x00bytes"
    assert door.developer.read_bytes(f"steps/{x}/notes.bin") == b"\xff\x00bytes"
    door.designer.append(f"steps/{x}/log", "one\n")
    door.developer.append(f"steps/{x}/log", "two\n")
    assert door.designer.read(f"steps/{x}/log") == "one\ntwo\n"
    with denied(EEXIST):
        door.designer.exclusive(f"steps/{x}/log", "new\n")
    door.designer.write(f"steps/{x}/data.json", "{}\n")
    assert door.designer.ls(f"steps/{x}") == ["data.json", "log", "notes.bin", "status"]
    door.designer.rm(f"steps/{x}/data.json")
    assert "data.json" not in door.developer.ls(f"steps/{x}")


def test_addition_meets_what_was_added_elsewhere(door: Door, x: str) -> None:
    door.designer.append(f"steps/{x}/log", "one\n")
    door.bucket.place(f"steps/{x}/log", b"one\ntwo\n")
    door.designer.append(f"steps/{x}/log", "three\n")
    assert door.bucket.body(f"steps/{x}/log") == b"one\ntwo\nthree\n"
    door.bucket.remove(f"steps/{x}/log")
    door.designer.append(f"steps/{x}/log", "four\n")
    assert door.bucket.body(f"steps/{x}/log") == b"four\n"


@pytest.mark.parametrize("name", ["owner", "wait", "after.json"])
def test_names_of_our_own_are_no_plain_files(door: Door, x: str, name: str) -> None:
    with denied(EPERM, f"steps/{x}/{name}"):
        door.designer.write(f"steps/{x}/{name}", "x\n")
    assert door.bucket.keys(f"steps/{x}/") == []


@pytest.mark.parametrize("name", ["claim.json", "status.json", "handoff.json"])
def test_exact_object_is_read_only(door: Door, x: str, name: str) -> None:
    """The exact object of a document is at its name + `.json`, unlisted and read-only."""
    with denied(EPERM, "without .json"):
        door.designer.write(f"steps/{x}-free/{name}", "{}\n")
    door.designer.write(f"steps/{x}/claim", "mine\n")
    door.designer.write(f"steps/{x}/status", "complete\n")
    body = door.bucket.body(f"steps/{x}/{name}")
    assert body is not None
    assert door.developer.read_bytes(f"steps/{x}/{name}") == body
    assert door.developer.stat(f"steps/{x}/{name}").size == len(body)
    assert name not in door.developer.ls(f"steps/{x}")
    with denied(EPERM, "without .json"):
        door.designer.write(f"steps/{x}/{name}", "{}\n")
    with denied(EPERM, "is a view"):
        door.designer.rm(f"steps/{x}/{name}")


def test_directories_are_not_kept_in_a_step(door: Door, x: str) -> None:
    with denied(EPERM, "artifacts/"):
        door.designer.mkdir(f"steps/{x}/sub")


@pytest.mark.mount_only("no command makes links")
def test_links_are_not_kept_in_a_step(mounted: Mounts, x: str) -> None:
    with denied(EPERM, "keeps no symbolic links"):
        mounted.designer.symlink(f"steps/{x}/link", "target")


@pytest.mark.mount_only("no command renames or truncates")
def test_plain_file_is_renamed_in_its_step_by_whose_that_is(mounted: Mounts, x: str) -> None:
    mounted.designer.write(f"steps/{x}/log", "x\n")
    mounted.designer.rename(f"steps/{x}/log", f"steps/{x}/log2")
    assert mounted.designer.read(f"steps/{x}/log2") == "x\n"
    mounted.designer.write(f"steps/{x}/claim", "mine\n")
    with denied(EPERM, "held by designer"):
        mounted.developer.rename(f"steps/{x}/log2", f"steps/{x}/log")
    with denied(EPERM, "held by designer"):
        mounted.developer.truncate(f"steps/{x}/log2", 0)
    for path in (f"steps/{x}-2/log", f"memory/{x}"):
        with denied(EXDEV):
            mounted.designer.rename(f"steps/{x}/log2", path)


@pytest.mark.mount_only("no command renames")
def test_what_cannot_be_renamed(mounted: Mounts, x: str) -> None:
    mounted.designer.write(f"steps/{x}/claim", "mine\n")
    with denied(EPERM, "others wait for it by this id"):
        mounted.designer.sh('mv -T "$0" "$1"', f"steps/{x}", f"steps/{x}-2")
    for name in ("claim", "status", "wait", "claim.json"):
        with denied(EPERM, "cannot be renamed"):
            mounted.designer.rename(f"steps/{x}/{name}", f"steps/{x}/other")


def test_other_spelling_is_the_same_step(door: Door, x: str) -> None:
    """Another spelling of a step id is a symbolic link to the folded one."""
    door.designer.write(f"steps/{x.upper()}.V1/claim", "mine\n")
    assert door.developer.read(f"steps/{x}-v1/owner") == "designer\n"
    link = door.developer.stat(f"steps/{x.upper()}.V1")
    assert (link.kind, link.target) == ("link", f"{x}-v1")
    assert door.developer.stat(f"steps/{x.upper()}.V1/").kind == "directory"
    listed = [it for it in door.developer.ls("steps") if it.lower().startswith(x)]
    assert listed == [f"{x}-v1"]


def test_step_that_is_one_s_own_is_removed_with_all_in_it(door: Door, x: str) -> None:
    """`rm -r` of a step that is yours, or nobody's, removes it."""
    door.designer.write(f"steps/{x}/claim", "mine\n")
    door.designer.write(f"steps/{x}/log.txt", "one\n")
    door.designer.write(f"steps/{x}/handoff", "note\n")
    with denied(EPERM, "held by designer"):
        door.developer.rm_tree(f"steps/{x}")
    door.designer.rm_tree(f"steps/{x}")
    assert x not in door.designer.ls("steps")
    assert door.bucket.keys(f"steps/{x}/") == []


@pytest.mark.mount_only("rm -r is the only command that removes a directory")
def test_step_is_not_removed_before_what_is_in_it(mounted: Mounts, x: str) -> None:
    mounted.designer.write(f"steps/{x}/claim", "mine\n")
    mounted.designer.write(f"steps/{x}/log", "x\n")
    with denied(ENOTEMPTY, "still has"):
        mounted.designer.rmdir(f"steps/{x}")
    with denied(EPERM, "held by designer"):
        mounted.developer.rmdir(f"steps/{x}")
    mounted.designer.sh('rm "$0"/log "$0"/claim', f"steps/{x}")
    mounted.designer.rmdir(f"steps/{x}")
    assert mounted.bucket.keys(f"steps/{x}/") == []
