"""Memory through both doors (tree.md, memory)."""

import json
import os
from collections.abc import Callable
from errno import EEXIST, EFBIG, EINVAL, ENOENT, ENOTEMPTY, EPERM, EROFS, EXDEV

import pytest

from tests.doors.denied import denied
from tests.doors.hands import Door
from tests.doors.shell import Mounts

NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
VALUES = ["v2\n", "no newline", "a\n\nb\n", "", "\n", "grüße\n", "\x00\x1b\r\n", "é\u2028"]

no_rename = pytest.mark.mount_only("no command renames")
held_open = pytest.mark.mount_only("a command opens, writes and lets go at once")


@pytest.mark.parametrize("text", VALUES)
def test_value_comes_back_as_it_was_written(door: Door, x: str, text: str) -> None:
    """Bytes come back exactly as they were written."""
    door.designer.write(f"memory/{x}", text.encode())
    assert door.developer.read_bytes(f"memory/{x}") == text.encode()
    assert door.developer.stat(f"memory/{x}").size == len(text.encode())
    assert door.developer.stat(f"memory/{x}").modified > 0


def test_last_writer_wins(door: Door, x: str) -> None:
    door.designer.write(f"memory/{x}", "one\n")
    assert door.developer.read(f"memory/{x}") == "one\n"
    door.developer.write(f"memory/{x}", "two\n")
    assert door.designer.read(f"memory/{x}") == "two\n"


def test_what_is_added_comes_after_what_is_there(door: Door, x: str) -> None:
    door.designer.append(f"memory/{x}", "one\ntwo\nthree")
    door.developer.append(f"memory/{x}", "\n")
    assert door.designer.read(f"memory/{x}") == "one\ntwo\nthree\n"


def test_writing_nothing_stores_an_empty_value(door: Door, x: str) -> None:
    door.designer.write(f"memory/{x}", "old\n")
    door.designer.append(f"memory/{x}", "")
    assert door.designer.read(f"memory/{x}") == "old\n"
    door.designer.write(f"memory/{x}", "")
    assert door.designer.read(f"memory/{x}") == ""
    door.designer.append(f"memory/{x}.new", "")
    assert door.designer.read(f"memory/{x}.new") == ""


def test_exclusive_creates_a_key_once(door: Door, x: str) -> None:
    """`O_EXCL` creates a key once."""
    door.designer.exclusive(f"memory/{x}", "mine\n")
    with denied(EEXIST):
        door.developer.exclusive(f"memory/{x}", "no, mine\n")
    assert door.designer.read(f"memory/{x}") == "mine\n"


def test_slash_in_a_path_means_a_dot_in_the_key(door: Door, x: str) -> None:
    """A `/` in a path means what a `.` means in the key."""
    door.designer.write(f"memory/{x}.contract.v1", "v1\n")
    assert door.bucket.body(f"memory/{x}/contract/v1.json") is not None
    assert door.developer.read(f"memory/{x}/contract/v1") == "v1\n"
    door.developer.write(f"memory/{x}/contract/v2", "v2\n")
    assert door.designer.read(f"memory/{x}.contract.v2") == "v2\n"
    assert door.designer.ls(f"memory/{x}") == ["contract.v1", "contract.v2"]
    listed = [it for it in door.designer.ls("memory") if it.startswith(x)]
    assert listed == [f"{x}.contract.v1", f"{x}.contract.v2"]


def test_key_and_longer_keys_stand_side_by_side(door: Door, x: str) -> None:
    door.designer.write(f"memory/{x}", "the key itself\n")
    door.designer.write(f"memory/{x}.contract", "v2\n")
    listed = [it for it in door.developer.ls("memory") if it.startswith(x)]
    assert listed == [x, f"{x}.contract"]
    assert door.developer.read(f"memory/{x}") == "the key itself\n"
    assert door.developer.read(f"memory/{x}.contract") == "v2\n"


def test_every_version_is_kept_oldest_first(door: Door, x: str) -> None:
    """Every version is kept, oldest first, read-only."""
    door.designer.write(f"memory/{x}.k", "one\n")
    door.developer.write(f"memory/{x}.k", "two")
    assert f"{x}.k" in door.designer.ls("memory/_history")
    assert "_history" not in door.designer.ls("memory")
    door.designer.rm(f"memory/{x}.k")
    history = f"memory/_history/{x}.k"
    versions = door.designer.ls(history)
    assert [it.split("_")[1] for it in versions] == ["designer", "developer"]
    first = f"{history}/{versions[0]}"
    assert [door.developer.read(f"{history}/{it}") for it in versions] == ["one\n", "two"]
    assert (door.designer.stat(first).size, door.designer.stat(first).writable) == (4, False)
    changes: list[Callable[[], object]] = [
        lambda: door.designer.write(first, "other\n"),
        lambda: door.designer.write(f"{history}/new", "other\n"),
        lambda: door.designer.rm(first),
        lambda: door.designer.mkdir(f"{history}/new"),
        lambda: door.designer.rm_tree(history),
    ]
    for change in changes:
        with denied(EROFS):
            change()
    for path in (f"{history}/nothing", f"memory/_history/{x}"):
        with denied(ENOENT):
            door.designer.stat(path)


def test_removed_key_is_gone(door: Door, x: str) -> None:
    door.designer.write(f"memory/{x}", "one\n")
    door.developer.rm(f"memory/{x}")
    with denied(ENOENT):
        door.designer.read(f"memory/{x}")
    assert x not in door.designer.ls("memory")


@pytest.mark.parametrize("name", ["a..b", ".hidden", "a.", " ", "a\nb", "a\udcff", "x" * 900])
def test_what_can_be_no_key(door: Door, name: str) -> None:
    """A key may not have empty segments, begin with `.` or be `_history`."""
    for act in (lambda path: door.designer.write(path, "v\n"), door.designer.mkdir):
        with denied(EINVAL, ""):
            act(f"memory/{name}")
    with denied(ENOENT):
        door.designer.read(f"memory/{name}")


def test_value_is_text_of_a_mebibyte(door: Door, x: str) -> None:
    """A value is UTF-8 of at most 1 MiB."""
    for act in (door.designer.write, door.designer.append):
        with denied(EINVAL, "UTF-8"):
            act(f"memory/{x}", b"\xff\n")
        with denied(EFBIG, "share a file in artifacts/"):
            act(f"memory/{x}", b"x" * ((1 << 20) + 1))
        with denied(ENOENT):
            door.designer.read(f"memory/{x}")
    door.designer.write(f"memory/{x}", b"x" * (1 << 20))
    assert door.designer.read(f"memory/{x}") == "x" * (1 << 20)


def test_exact_object_of_a_key(door: Door, x: str) -> None:
    door.designer.write(f"memory/{x}", "v\n")
    document = json.loads(door.developer.read(f"memory/{x}.json"))
    assert (document["value"], document["set_by"]) == ("v", "designer")
    assert f"{x}.json" not in door.developer.ls("memory")
    with denied(EPERM, "without .json"):
        door.designer.write(f"memory/{x}.json", "{}\n")
    for path in (f"memory/{x}.other.json", "memory/.json"):
        with denied(ENOENT):
            door.designer.read(path)


def test_object_nobody_can_read_can_be_replaced_and_removed(door: Door, x: str) -> None:
    """What is no document shows as little as can be said of it, and hides nothing else."""
    for key in ("one", "two"):
        door.bucket.place(f"memory/{x}/{key}.json", b"{")
    assert door.designer.ls(f"memory/{x}") == ["one", "two"]
    with denied(EINVAL):
        door.designer.read(f"memory/{x}.one")
    door.designer.write(f"memory/{x}.one", "new\n")
    assert door.designer.read(f"memory/{x}.one") == "new\n"
    door.designer.rm(f"memory/{x}.two")
    assert door.designer.ls(f"memory/{x}") == ["one"]


@pytest.mark.mount_only("what a command makes, it would have to keep")
def test_made_directory_lives_in_this_mount(mounted: Mounts, x: str) -> None:
    hand = mounted.designer
    with denied(ENOENT):
        hand.stat(f"memory/{x}")
    hand.mkdir(f"memory/{x}")
    assert x in hand.ls("memory")
    assert x not in mounted.developer.ls("memory")
    hand.write(f"memory/{x}/contract", "v\n")
    assert hand.read(f"memory/{x}.contract") == "v\n"
    with denied(ENOTEMPTY, f"ls memory/{x}"):
        hand.rmdir(f"memory/{x}")
    hand.rm(f"memory/{x}/contract")
    hand.mkdir(f"memory/{x}/sub")
    with denied(ENOTEMPTY):
        hand.rmdir(f"memory/{x}")
    hand.rmdir(f"memory/{x}/sub")
    hand.rmdir(f"memory/{x}")
    assert x not in hand.ls("memory")


@held_open
def test_first_line_is_stored_at_once_and_the_rest_at_the_end(mounted: Mounts, x: str) -> None:
    hand = mounted.designer
    with hand.opened(f"memory/{x}", NEW) as value:
        value.write(b"one\n")
        assert hand.read(f"memory/{x}") == "one\n"
        value.write(b"two\n")
        assert mounted.developer.read(f"memory/{x}") == "one\n"
    assert mounted.developer.read(f"memory/{x}") == "one\ntwo\n"
    assert len(hand.ls(f"memory/_history/{x}")) == 2


@held_open
def test_killed_writer_leaves_the_old_value(mounted: Mounts, x: str) -> None:
    """A writer that is killed by a signal stores nothing in the end."""
    mounted.designer.write(f"memory/{x}", "old\n")
    mounted.designer.killed(f"memory/{x}", "new")
    mounted.designer.killed(f"memory/{x}", "more", how=">>")
    assert mounted.designer.read(f"memory/{x}") == "old\n"


@pytest.mark.mount_only("no command touches")
def test_touch_makes_a_key_and_empties_none(mounted: Mounts, x: str) -> None:
    mounted.designer.touch(f"memory/{x}")
    assert mounted.designer.read(f"memory/{x}") == ""
    mounted.designer.write(f"memory/{x}", "v\n")
    mounted.developer.touch(f"memory/{x}")
    assert mounted.developer.read(f"memory/{x}") == "v\n"


@held_open
def test_value_is_changed_in_place(mounted: Mounts, x: str) -> None:
    mounted.designer.write(f"memory/{x}", "hello world")
    with mounted.designer.opened(f"memory/{x}", os.O_RDWR) as value:
        assert value.read(5) == b"hello"
        value.write(b"there", 6)
        value.truncate(8)
        assert value.size() == 8
    assert mounted.developer.read(f"memory/{x}") == "hello th"
    mounted.designer.truncate(f"memory/{x}", 5)
    assert mounted.developer.read(f"memory/{x}") == "hello"
    with (
        mounted.designer.opened(f"memory/{x}", NEW) as value,
        denied(EFBIG, "share a file in artifacts/"),
    ):
        value.write(b"x", 1 << 40)


@no_rename
def test_key_is_moved(mounted: Mounts, x: str) -> None:
    """A directory of keys cannot be renamed."""
    hand = mounted.designer
    hand.write(f"memory/{x}.a", "1\n")
    hand.rename(f"memory/{x}.a", f"memory/{x}.b")
    assert hand.ls(f"memory/{x}") == ["b"]
    hand.write(f"memory/{x}.c", "2")
    with denied(EEXIST):
        hand.rename_to_new(f"memory/{x}.b", f"memory/{x}.c")
    hand.rename(f"memory/{x}.c", f"memory/{x}.b")
    assert hand.read(f"memory/{x}.b") == "2"
    for path, to in (
        (f"memory/{x}", f"memory/{x}2"),
        (f"memory/{x}.b", f"steps/{x}/b"),
        (f"memory/{x}.b", f"messages/developer/{x}"),
    ):
        with denied(EXDEV):
            hand.rename(path, to)


@no_rename
def test_versions_stay_what_and_where_they_are(mounted: Mounts, x: str) -> None:
    hand = mounted.designer
    hand.write(f"memory/{x}", "1\n")
    history = f"memory/_history/{x}"
    (name,) = hand.ls(history)
    changes: list[Callable[[], object]] = [
        lambda: hand.rename(f"{history}/{name}", f"{history}/new"),
        lambda: hand.symlink(f"{history}/new", "target"),
        lambda: hand.rmdir(history),
        lambda: hand.touch(f"{history}/{name}"),
        lambda: hand.truncate(f"{history}/{name}", 0),
    ]
    for change in changes:
        with denied(EROFS):
            change()
    assert hand.ls(history) == [name]
