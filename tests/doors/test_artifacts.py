"""Ordinary files through both doors (tree.md, artifacts)."""

from errno import EEXIST, EINVAL, EISDIR, ENOENT, ENOTEMPTY, EPERM, EXDEV

import pytest

from tests.doors.denied import denied
from tests.doors.hands import Door
from tests.doors.shell import Mounts
from tests.mounts import until

MIB = 1 << 20
BYTES = bytes(range(256)) * (5 << 10)  # 1.25 MiB

no_rename = pytest.mark.mount_only("no command renames")


@pytest.fixture
def here(x: str) -> str:
    """Return a directory that no other test uses."""
    return f"artifacts/{x}"


@pytest.mark.parametrize("body", [b"", b"v", BYTES], ids=["empty", "byte", "large"])
def test_any_bytes_come_back(door: Door, here: str, body: bytes) -> None:
    door.designer.mkdir_parents(here)
    door.designer.write(f"{here}/f", body)
    assert door.bucket.body(f"{here}/f") == body
    assert door.developer.read_bytes(f"{here}/f") == body
    assert door.developer.stat(f"{here}/f").size == len(body)
    assert door.developer.stat(f"{here}/f").modified > 0


@pytest.mark.parametrize(
    "name", ["with space", "grüße 日本", ".hidden", "x~", "#x#", ".x.swp", "a.tmp", "-n"]
)
def test_any_name_is_a_file(door: Door, here: str, name: str) -> None:
    """Every name is kept in `artifacts/` and plain directories, an editor's own too."""
    for directory in (here, f"runs-{here[10:]}"):
        door.bucket.place(f"{directory}/first", b"")
        door.designer.write(f"{directory}/{name}", "v")
        assert door.developer.read(f"{directory}/{name}") == "v"
        assert door.bucket.body(f"{directory}/{name}") == b"v"


def test_what_is_added_comes_after_what_is_there(door: Door, x: str) -> None:
    door.designer.append(f"artifacts/shared/{x}", "one\n")
    door.developer.append(f"artifacts/shared/{x}", "two\n")
    door.designer.append(f"artifacts/shared/{x}", "")
    assert door.bucket.body(f"artifacts/shared/{x}") == b"one\ntwo\n"
    door.bucket.place(f"artifacts/shared/{x}", b"one\ntwo\nthree\n")
    door.designer.append(f"artifacts/shared/{x}", "four\n")
    assert door.bucket.body(f"artifacts/shared/{x}") == b"one\ntwo\nthree\nfour\n"


def test_adding_nothing_makes_a_file(door: Door, x: str) -> None:
    door.designer.append(f"artifacts/shared/{x}", "")
    assert door.bucket.body(f"artifacts/shared/{x}") == b""


def test_much_is_added_through_the_disk(door: Door, x: str) -> None:
    door.designer.write(f"artifacts/shared/{x}", "begin\n")
    door.designer.append(f"artifacts/shared/{x}", bytes(9 * MIB))
    assert door.bucket.body(f"artifacts/shared/{x}") == b"begin\n" + bytes(9 * MIB)


def test_file_that_must_be_new_is_made_once(door: Door, x: str) -> None:
    door.designer.exclusive(f"artifacts/shared/{x}", "ours\n")
    with denied(EEXIST):
        door.developer.exclusive(f"artifacts/shared/{x}", "theirs\n")
    assert door.bucket.body(f"artifacts/shared/{x}") == b"ours\n"


def test_removed_file_is_gone(door: Door, x: str) -> None:
    door.designer.write(f"artifacts/shared/{x}", "v")
    door.designer.rm(f"artifacts/shared/{x}")
    assert door.bucket.body(f"artifacts/shared/{x}") is None
    assert x not in door.designer.ls("artifacts/shared")
    for act in (door.designer.rm, door.designer.read):
        with denied(ENOENT):
            act(f"artifacts/shared/{x}")


def test_directories_are_removed_with_what_is_in_them(door: Door, here: str) -> None:
    for name in ("f", "a/f", "a/b/f"):
        door.bucket.place(f"{here}/{name}", b"v")
    assert door.designer.ls(f"{here}/a") == ["b", "f"]
    assert door.designer.stat(f"{here}/a/b").kind == "directory"
    with denied(EISDIR):
        door.designer.rm(f"{here}/a")
    with denied(EISDIR):
        door.designer.write(f"{here}/a", "v")
    with denied(EEXIST):
        door.designer.mkdir(f"{here}/a")
    door.designer.rm_tree(f"{here}/a")
    assert door.bucket.keys(f"{here}/") == [f"{here}/f"]


def test_steps_have_artifacts_once_they_have_anything(door: Door, x: str) -> None:
    """`artifacts/<step>/` is there once the step has anything; `artifacts/shared/` always."""
    assert "shared" in door.designer.ls("artifacts")
    with denied(ENOENT, command=f"mkdir artifacts/{x}-a"):
        door.designer.stat(f"artifacts/{x.upper()}.A")
    door.designer.write(f"steps/{x.upper()}.A/claim", "mine\n")
    door.designer.write(f"artifacts/{x.upper()}.A/f", "v")
    assert door.bucket.body(f"artifacts/{x}-a/f") == b"v"
    link = door.designer.stat(f"artifacts/{x.upper()}.A")
    assert (link.kind, link.target) == ("link", f"{x}-a")
    listed = [it for it in door.designer.ls("artifacts") if it.lower().startswith(x)]
    assert listed == [f"{x}-a"]


def test_what_is_shared_by_all_lies_in_shared(door: Door, x: str) -> None:
    for name in (x, "_x"):
        with denied(EPERM, "artifacts/shared/"):
            door.designer.write(f"artifacts/{name}", "v")
    with denied(EINVAL, "may not begin with '_'"):
        door.designer.mkdir("artifacts/_x")


@pytest.mark.parametrize("name", ["a\udcff", "x" * 256])
def test_names_no_file_may_have(door: Door, name: str) -> None:
    door.bucket.place("runs/first", b"")
    for path in (f"artifacts/shared/{name}", f"runs/{name}", name):
        with denied(EINVAL, ""):
            door.designer.write(path, "v")
        with denied(ENOENT):
            door.designer.read(path)


@pytest.mark.mount_only("what a command makes, it would have to keep")
def test_directories_without_a_file_are_the_mount_s_own(mounted: Mounts, x: str) -> None:
    """An empty directory is its mount's only."""
    hand = mounted.designer
    hand.mkdir(x)
    hand.mkdir(f"{x}/1")
    assert hand.ls(x) == ["1"]
    with denied(ENOTEMPTY):
        hand.rmdir(x)
    hand.write(f"{x}/1/f", "v")
    with denied(ENOTEMPTY):
        hand.rmdir(f"{x}/1")
    hand.rm(f"{x}/1/f")
    assert hand.ls(f"{x}/1") == []
    with denied(ENOENT):
        mounted.developer.ls(f"{x}/1")
    hand.rmdir(f"{x}/1")
    hand.rmdir(x)
    with denied(ENOENT):
        hand.stat(x)
    hand.mkdir(f"artifacts/{x.upper()}")
    assert {x, "shared"} <= set(hand.ls("artifacts"))


@no_rename
def test_file_is_renamed_and_a_directory_is_not(mounted: Mounts, x: str) -> None:
    """A file is renamed by a copy in the store; a directory is EXDEV."""
    hand, there = mounted.designer, f"artifacts/shared/{x}"
    hand.mkdir(x)
    hand.write(f"{x}/a", "v")
    hand.rename(f"{x}/a", there)
    assert (mounted.bucket.body(there), mounted.bucket.body(f"{x}/a")) == (b"v", None)
    hand.write(x + "-top", "w")
    with denied(EEXIST):
        hand.rename_to_new(f"{x}-top", there)
    assert (mounted.bucket.body(there), mounted.bucket.body(f"{x}-top")) == (b"v", b"w")
    hand.rename(f"{x}-top", there)
    assert (mounted.bucket.body(there), mounted.bucket.body(f"{x}-top")) == (b"w", None)
    hand.write(f"{x}/b", "v")
    with denied(EXDEV, "is a directory"):
        hand.rename(x, f"{x}-2")


@no_rename
@pytest.mark.parametrize("size", [1, 9 * MIB])
def test_exclusive_rename_is_decided_by_the_store(mounted: Mounts, x: str, size: int) -> None:
    mounted.bucket.place(f"{x}/a", bytes(size))
    mounted.designer.rename_to_new(f"{x}/a", f"{x}/b")
    assert mounted.bucket.body(f"{x}/b") == bytes(size)
    mounted.bucket.place(f"{x}/c", b"theirs")
    with denied(EEXIST):
        mounted.designer.rename_to_new(f"{x}/b", f"{x}/c")
    assert mounted.bucket.body(f"{x}/c") == b"theirs"
    assert mounted.bucket.body(f"{x}/b") == bytes(size)


@pytest.mark.mount_only("no command links")
def test_links_are_refused(mounted: Mounts, x: str) -> None:
    """Symbolic and hard links, in `artifacts/` and plain directories: EPERM."""
    mounted.designer.write(f"artifacts/shared/{x}", "v")
    with denied(EPERM, "copy the file"):
        mounted.designer.symlink(f"artifacts/shared/{x}-link", x)
    with denied(EPERM):
        mounted.designer.sh('ln "$0" "$0-link"', f"artifacts/shared/{x}")


@pytest.mark.mount_only("no command truncates")
def test_file_is_cut(mounted: Mounts, x: str) -> None:
    path = f"artifacts/shared/{x}"
    mounted.designer.write(path, "0123456789")
    mounted.designer.truncate(path, 4)
    assert mounted.bucket.body(path) == b"0123"
    until(lambda: mounted.developer.stat(path).size == 4, "the size elsewhere")
