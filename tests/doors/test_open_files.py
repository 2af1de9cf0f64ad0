"""Files held open: what is shared in a mount, and when it is stored (tree.md, artifacts).

A command opens, writes and lets go in one: all of this is a mount's.
"""

import os
from errno import EEXIST, ENOENT, ESTALE

import pytest

from tests.doors.denied import denied
from tests.doors.shell import Mounts
from tests.mounts import until

pytestmark = pytest.mark.mount_only("a command opens, writes and lets go at once")

MIB = 1 << 20
NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
ADD = os.O_WRONLY | os.O_CREAT | os.O_APPEND
EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@pytest.fixture
def path(x: str) -> str:
    """Return a file that is not there."""
    return f"artifacts/shared/{x}"


def test_nothing_is_stored_before_the_opener_lets_go(mounted: Mounts, path: str) -> None:
    """A file that is being written is seen in its mount at once, elsewhere when it is stored."""
    hand = mounted.designer
    with hand.opened(path, NEW) as file:
        file.write(b"half")
        assert mounted.bucket.body(path) is None
        assert hand.read(path) == "half"
        assert hand.stat(path).size == 4
        assert path.rpartition("/")[2] in hand.ls("artifacts/shared")
        with denied(ENOENT):
            mounted.developer.stat(path)
    assert mounted.bucket.body(path) == b"half"


def test_fsync_stores(mounted: Mounts, path: str) -> None:
    """`fsync` stores."""
    with mounted.designer.opened(path, NEW) as file:
        file.write(b"half").sync()
        assert mounted.bucket.body(path) == b"half"
        file.write(b" more")
    assert mounted.bucket.body(path) == b"half more"


def test_reading_and_writing_share_one_file(mounted: Mounts, path: str) -> None:
    """Writes through one descriptor are seen through every other of the mount at once."""
    hand = mounted.designer
    hand.write(path, "0123456789")
    with (
        hand.opened(path, os.O_RDONLY) as reader,
        hand.opened(path, os.O_RDWR) as one,
        hand.opened(path, os.O_RDWR) as two,
    ):
        one.write(b"xx", 2)
        two.write(b"yy", 4)
        for each in (reader, one, two):
            assert each.read(99) == b"01xxyy6789"
        hand.truncate(path, 5)
        assert reader.read(99) == b"01xxy"
    # Who closes one of several looks like a child that closes a duplicate: stored at the release.
    until(lambda: mounted.bucket.body(path) == b"01xxy", "the release")


def test_killed_writer_leaves_what_others_wrote(mounted: Mounts, path: str) -> None:
    """A file is stored when its opener lets go, whole or not at all."""
    hand = mounted.designer
    hand.write(path, "old")
    hand.killed(path, "new")
    assert hand.read(path) == "old"
    hand.killed(f"{path}-new", "half")
    until(lambda: f"{path}-new" not in hand.ls("artifacts/shared"), "the file that never was")
    with denied(ENOENT):
        hand.stat(f"{path}-new")
    with hand.opened(path, os.O_WRONLY) as other:
        other.write(b"er", 3)
        hand.killed(path, "", how="<>")
    assert mounted.bucket.body(path) == b"older"


def test_removed_file_goes_on_for_who_has_it_open(mounted: Mounts, path: str) -> None:
    mounted.designer.write(path, "old")
    with mounted.designer.opened(path, os.O_RDWR) as file:
        mounted.designer.rm(path)
        file.write(b"er", 3)
        assert file.read(99) == b"older"
    assert mounted.bucket.body(path) is None


def test_renaming_what_is_being_written_stores_it_under_its_new_name(
    mounted: Mounts, path: str
) -> None:
    with mounted.designer.opened(f"{path}.lock", NEW) as file:
        file.write(b"one")
        mounted.designer.rename(f"{path}.lock", path)
        assert mounted.bucket.keys(path) == [path]
        file.write(b" two")
    assert mounted.bucket.body(path) == b"one two"
    assert mounted.bucket.keys(path) == [path]


def test_new_file_opened_for_adding_is_there_and_empty(mounted: Mounts, path: str) -> None:
    with mounted.designer.opened(path, ADD) as file:
        assert mounted.designer.read(path) == ""
        assert path.rpartition("/")[2] in mounted.designer.ls("artifacts/shared")
        mounted.bucket.place(path, b"theirs\n")
        file.write(b"ours\n")
    assert mounted.bucket.body(path) == b"theirs\nours\n"


def test_version_that_is_gone_is_stale(mounted: Mounts, path: str) -> None:
    """An open file keeps the version it opened; it is ESTALE once that is gone."""
    mounted.bucket.place(path, b"1" * MIB)
    with mounted.designer.opened(path, os.O_RDONLY) as reader:
        assert reader.read(10) == b"1" * 10
        mounted.bucket.place(path, b"2" * MIB)
        with denied(ESTALE, "open it again"):
            reader.read(10, MIB // 2)
    until(lambda: mounted.designer.read(path) == "2" * MIB, "the newer version")


def test_line_in_a_new_file_is_decided_at_once(mounted: Mounts, path: str) -> None:
    """`O_EXCL` is decided at `open` in a mount, and when the file is stored among mounts."""
    with mounted.designer.opened(path, EXCLUSIVE) as file:
        with denied(EEXIST), mounted.designer.opened(path, EXCLUSIVE):
            pytest.fail("it was opened")
        mounted.developer.exclusive(path, "theirs\n")
        with denied(EEXIST, "stored by another mount"):
            file.write(b"ours\n")
    assert mounted.bucket.body(path) == b"theirs\n"
