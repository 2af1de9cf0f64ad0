"""What programs make for themselves: only a mount keeps it (tree.md, rules that hold everywhere).

The commands refuse such names: test_commands.py. How editors use them: tests/mount/test_editors.py.
"""

import os
from collections.abc import Iterator
from errno import EEXIST, EINVAL, ENOSPC, ENOTEMPTY, EPERM, ESTALE, EXDEV

import pytest

from tcfs.tree.scratch import ENTRY, LIMIT
from tests.doors.denied import denied
from tests.doors.shell import Mounts, Shell

pytestmark = pytest.mark.mount_only("what lies in memory ends with a command")

NEW = os.O_RDWR | os.O_CREAT | os.O_TRUNC


@pytest.fixture
def hand(mounted: Mounts, x: str) -> Iterator[Shell]:
    """Yield an agent; what it leaves in `memory/<x>/` is removed, for its room is shared."""
    mounted.designer.mkdir(f"memory/{x}")
    yield mounted.designer
    mounted.designer.sh('rm -rf "$0"', f"memory/{x}")


@pytest.mark.parametrize("directory", ["memory", "steps/x", "agents", "messages/_broadcast"])
def test_nothing_of_them_is_stored(mounted: Mounts, directory: str) -> None:
    """What editors and desktops make for themselves is never stored: it lives in the memory of
    this mount."""
    before, name = mounted.bucket.keys(""), f"{directory}/.k.swp"
    mounted.designer.write(name, "one")
    mounted.designer.append(name, "two")
    assert mounted.designer.read(name) == "onetwo"
    assert ".k.swp" in mounted.designer.ls(directory)
    assert ".k.swp" not in mounted.developer.ls(directory)
    assert mounted.bucket.keys("") == before
    mounted.designer.rm(name)
    assert ".k.swp" not in mounted.designer.ls(directory)


def test_it_is_made_once(hand: Shell, x: str) -> None:
    hand.exclusive(f"memory/{x}/.k.swp", "v")
    with denied(EEXIST):
        hand.exclusive(f"memory/{x}/.k.swp", "w")
    hand.symlink(f"memory/{x}/.#k", "me@host.1")
    with denied(EEXIST):
        hand.symlink(f"memory/{x}/.#k", "me@host.1")
    link = hand.stat(f"memory/{x}/.#k")
    assert (link.kind, link.target) == ("link", "me@host.1")
    with denied(EINVAL, "symbolic link"):
        hand.rename(f"memory/{x}/.#k", f"memory/{x}/k")
    with denied(EEXIST):
        hand.rename_to_new(f"memory/{x}/.#k", f"memory/{x}/.k.swp")
    hand.rename(f"memory/{x}/.#k", f"memory/{x}/.k.swp")
    assert hand.ls(f"memory/{x}") == [".k.swp"]


def test_it_is_cut_and_added_to(hand: Shell, x: str) -> None:
    path = f"memory/{x}/.k.swp"
    hand.write(path, "one")
    hand.append(path, "two")
    hand.truncate(path, 4)
    assert hand.read(path) == "onet"
    hand.truncate(path, 6)
    assert hand.read(path) == "onet\0\0"
    assert hand.stat(path).size == 6


def test_what_cannot_be_written_stays_where_it_is(hand: Shell, x: str) -> None:
    hand.write(f"memory/{x}/k", "v\n")
    hand.write(f"memory/{x}/k~", b"\xff")
    with denied(EINVAL, "UTF-8"):
        hand.rename(f"memory/{x}/k~", f"memory/{x}/k")
    hand.write(f"memory/{x}/k~", "w\n")
    with denied(EEXIST):
        hand.rename_to_new(f"memory/{x}/k~", f"memory/{x}/k")
    with denied(EINVAL, "artifacts/"):
        hand.rename(f"memory/{x}/k~", f"memory/{x}/.env")
    with denied(EXDEV):
        hand.rename(f"memory/{x}/k~", f"messages/{x}")
    assert hand.read(f"memory/{x}/k") == "v\n"
    assert hand.ls(f"memory/{x}") == ["k~", "k"]
    hand.rename(f"memory/{x}/k~", f"memory/{x}/k")
    assert hand.read(f"memory/{x}/k") == "w\n"


def test_one_that_was_stored_is_written_no_more(hand: Shell, x: str) -> None:
    """Renamed onto a real name it is one write of that."""
    with hand.opened(f"memory/{x}/.k.swp", NEW) as file:
        file.write(b"v")
        hand.rename(f"memory/{x}/.k.swp", f"memory/{x}/k")
        with denied(ESTALE, "open it again"):
            file.write(b"w")
    assert hand.read(f"memory/{x}/k") == "v"


def test_one_that_is_removed_lives_as_long_as_it_is_open(hand: Shell, x: str) -> None:
    """They may hold 64 MiB in all; more is ENOSPC."""
    with hand.opened(f"memory/{x}/.k.swp", NEW) as file:
        for begin in range(0, LIMIT - ENTRY, 1 << 20):
            file.write(bytes(min(1 << 20, LIMIT - ENTRY - begin)), begin)
        hand.rm(f"memory/{x}/.k.swp")
        assert hand.ls(f"memory/{x}") == []
        assert file.read(9, LIMIT - ENTRY - 1) == b"\0"
        with denied(ENOSPC, "64 MiB"):
            hand.write(f"memory/{x}/.other.swp", "")
    hand.write(f"memory/{x}/.other.swp", bytes(LIMIT - ENTRY))


def test_backup_too_large_leaves_nothing(hand: Shell, x: str) -> None:
    """A real name renamed to such a one is copied, and stays."""
    hand.write(f"memory/{x}/k", "v" * 10)
    hand.write(f"memory/{x}/.k.swp", bytes(LIMIT - 2 * ENTRY - 5))
    with denied(ENOSPC, "64 MiB"):
        hand.rename(f"memory/{x}/k", f"memory/{x}/k~")
    assert hand.ls(f"memory/{x}") == [".k.swp", "k"]
    hand.rm(f"memory/{x}/.k.swp")
    hand.rename(f"memory/{x}/k", f"memory/{x}/k~")
    assert hand.read(f"memory/{x}/k~") == hand.read(f"memory/{x}/k") == "v" * 10


def test_what_is_no_file_is_not_backed_up(hand: Shell, x: str) -> None:
    hand.mkdir(f"memory/{x}/d")
    hand.write(f"memory/{x}/d/k~", "v")
    with denied(EPERM, "no file"):
        hand.rename(f"memory/{x}/d", f"memory/{x}/d~")
    with denied(EPERM, "cannot be renamed"):
        hand.rename(f"steps/{x}/wait", f"steps/{x}/wait~")
    with denied(ENOTEMPTY, "ls -a"):
        hand.rmdir(f"memory/{x}/d")
