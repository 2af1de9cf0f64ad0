"""Locks at both doors: `mkdir` takes one, removing it gives it back (tree.md, locks)."""

import json
import os
from errno import EEXIST, EINVAL, EISDIR, ENOENT, EPERM

import pytest

from tests.doors.denied import denied
from tests.doors.hands import Door
from tests.doors.shell import Mounts


def test_lock_is_had_by_one_agent_until_it_is_given_back(door: Door, x: str) -> None:
    """`mkdir` takes a lock, `rmdir` gives it back, and `owner` names the holder."""
    with denied(ENOENT):
        door.designer.ls(f"locks/{x}")
    door.designer.mkdir(f"locks/{x}")
    for late in (door.developer, door.designer):
        with denied(EEXIST):
            late.mkdir(f"locks/{x}")
        assert late.read(f"locks/{x}/owner") == "designer\n"
        assert late.ls(f"locks/{x}") == ["owner"]
        assert x in late.ls("locks")
    assert json.loads(door.developer.read(f"locks/{x}.json"))["agent"] == "designer"
    with denied(EPERM, f"locks/{x} is held by designer, not by you"):
        door.developer.rm_tree(f"locks/{x}")
    with denied(EISDIR):
        door.developer.write(f"locks/{x}", "")
    door.designer.rm_tree(f"locks/{x}")
    assert door.bucket.body(f"locks/{x}.json") is None
    door.developer.mkdir(f"locks/{x}")
    assert door.designer.read(f"locks/{x}/owner") == "developer\n"


def test_lock_keeps_no_text(door: Door, x: str) -> None:
    with denied(EPERM, "keeps no text"):
        door.designer.write(f"locks/{x}", "mine\n")
    for bad in ("_x", ".x", f"{x}\n"):
        with denied(EINVAL):
            door.designer.mkdir(f"locks/{bad}")
    with denied(EPERM, "without .json"):
        door.designer.mkdir(f"locks/{x}.json")
    with denied(EPERM):
        door.designer.mkdir(f"as/tester/locks/{x}.json")
    assert x not in door.designer.ls("locks")
    assert door.bucket.keys(f"locks/{x}") == []


@pytest.mark.mount_only("a command opens, writes and lets go at once")
def test_lock_is_had_while_its_file_is_open(mounted: Mounts, x: str) -> None:
    with mounted.designer.opened(f"locks/{x}", os.O_RDWR | os.O_CREAT) as file:
        for late in (mounted.developer, mounted.designer):
            assert late.read(f"locks/{x}") == "designer\n"
            assert late.stat(f"locks/{x}").kind == "file"
            with denied(EEXIST, f"locks/{x} is held by designer"):
                late.write(f"locks/{x}", "")
            with denied(EEXIST):
                late.mkdir(f"locks/{x}")
            with denied(EEXIST, f"locks/{x} is held by designer"):
                late.sh('touch -c -d 2020-01-01 "$0"', f"locks/{x}")
        with denied(EPERM, "keeps no text"):
            file.write(b"mine\n")
    mounted.designer.mkdir(f"locks/{x}")
