"""The root, its views and `.tcfs/` through both doors (tree.md, root and .tcfs)."""

import json
from collections.abc import Callable
from errno import EEXIST, EISDIR, ENOENT, EROFS

import pytest

from tcfs import __version__
from tcfs.board import LOCAL_ONLY
from tcfs.project.sessions import Session
from tests.doors.denied import denied
from tests.doors.hands import Door
from tests.doors.shell import Mounts
from tests.project.mirrored import mirror

FIXED = {"README", "agents", "artifacts", "locks", "memory", "messages", "ready", "sessions"} | {
    "steps",
    ".tcfs",
}


def test_what_the_root_lists(door: Door) -> None:
    listed = door.designer.ls(".")
    assert listed[0] == "status"
    assert set(listed) >= FIXED
    assert not {"status.json", "as"} & set(listed)
    assert len(listed) == len(set(listed))
    assert set(door.designer.ls("as/somebody")) >= FIXED
    for act in (door.designer.stat, door.designer.read):
        with denied(ENOENT, command="there is no nothing at the root; see README"):
            act("nothing")


def test_what_is_the_trees_own_at_the_root_cannot_be_changed(door: Door) -> None:
    for name in ("status", "status.json", "README", ".tcfs/version", ".tcfs/errors"):
        with denied(EROFS, "is a view"):
            door.designer.write(name, "x\n")
        with denied(EROFS):
            door.designer.rm(name)
    for name in ("ready/x", ".tcfs/things"):
        with denied(EROFS):
            door.designer.mkdir(name)
        with denied(EROFS):
            door.designer.write(name, "x\n")
    with denied(EISDIR):
        door.designer.write("as", "x\n")
    with denied(EEXIST):
        door.designer.mkdir("steps")


@pytest.mark.mount_only("no command removes only a directory, links or renames")
def test_what_is_the_trees_own_at_the_root_stays(mounted: Mounts, x: str) -> None:
    hand = mounted.designer
    hand.write(x, "v")
    changes: list[Callable[[], object]] = [
        lambda: hand.rmdir("steps"),
        lambda: hand.symlink(f"{x}-link", "target"),
        lambda: hand.rename(x, "README"),
        lambda: hand.rename("README", f"{x}-readme"),
        lambda: hand.sh('mv -T "$0" "$1"', "steps", f"{x}-steps"),
        lambda: hand.touch("README"),
    ]
    for change in changes:
        with denied(EROFS):
            change()
    assert hand.read(x) == "v"


def test_readme_has_this_place_s_paths_and_agent(door: Door) -> None:
    text = door.designer.read("README")
    assert door.designer.stat("README").size == len(text.encode())
    assert "You are: designer" in text
    assert "/steps/design/claim" in text
    assert len(text.splitlines()) < 50, "one screen"
    assert "You are: other" in door.designer.read("as/other/README")


@pytest.mark.mount_only("a command has no mount point to name")
def test_readme_names_the_mount_point(mounted: Mounts) -> None:
    hand = mounted.designer
    assert f"> {hand.path}/steps/design/claim" in hand.read("README")


def test_readmes_commands_work(door: Door, x: str) -> None:
    """The writes it shows."""
    door.designer.write(f"steps/{x}/claim", "what I will do\n")
    door.designer.write(f"steps/{x}/handoff", "what the next one must know\n")
    door.designer.write(f"steps/{x}/status", "complete\n")
    assert door.developer.read(f"steps/{x}/wait") == "complete\n"
    door.designer.write(f"memory/{x}.contract", "v2, JSON over HTTP\n")
    door.designer.append(f"memory/{x}.log", "a line\n")
    door.designer.append("messages/developer/inbox", f"Step: {x}\n\nready\n")
    assert f"[step {x}]: ready" in door.developer.read("messages/developer/inbox")


def test_overview_says_when_it_is_not_shared(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/claim", "mine\n")
    text = door.designer.read("status")
    assert text.splitlines()[0] == LOCAL_ONLY
    assert LOCAL_ONLY in door.designer.read(".tcfs/store")
    assert f"  {x:<24} {'in_progress':<12} designer\n" in text
    found = json.loads(door.designer.read("status.json"))
    assert {"id": x, "status": "in_progress", "agent": "designer"} in found["steps"]
    assert found["shared"] is False


def test_overview_counts_sessions(door: Door) -> None:
    before = json.loads(door.designer.read("status.json"))["sessions"]
    mirror(
        door.bucket, "one\n", session=Session("codex", "counted"), total_uploaded_bytes=1_260_000
    )
    seen = json.loads(door.designer.read("status.json"))["sessions"]
    assert seen["count"] == before["count"] + 1
    assert seen["total_uploaded_bytes"] == before["total_uploaded_bytes"] + 1_260_000
    (line,) = (it for it in door.designer.read("status").splitlines() if "SESSIONS" in it)
    size = f"{seen['total_uploaded_bytes'] / 1e6:.1f} MB"
    assert line.startswith(f"SESSIONS ({seen['count']}): {size}, last upload ")


def test_control_files(door: Door) -> None:
    listed = door.designer.ls(".tcfs")
    assert {"agent", "version", "store", "config", "capabilities", "errors"} <= set(listed)
    assert door.designer.read(".tcfs/agent").splitlines()[0] == "designer"
    assert door.designer.read(".tcfs/version") == f"{__version__}\n"
    assert door.designer.read(".tcfs/store").startswith("file:///")
    assert "designer" in door.designer.read(".tcfs/config")
    assert "link(2)" in door.designer.read(".tcfs/capabilities")
    with denied(ENOENT):
        door.designer.read(".tcfs/nothing")


@pytest.mark.mount_only("a command tells its one refusal itself")
def test_errors_are_those_of_whoever_was_refused(mounted: Mounts, x: str) -> None:
    """A refusal has a line in `.tcfs/errors` that says what to do."""
    with denied(EROFS):
        mounted.designer.write(f"as/{x}/status", "x\n")
    (line,) = mounted.designer.read(f"as/{x}/.tcfs/errors").splitlines()
    assert f" /as/{x}/status EROFS " in line
    for hand in (mounted.designer, mounted.developer):
        assert f"/as/{x}/" not in hand.read(".tcfs/errors")


def test_raw_is_the_bucket_as_it_is(door: Door, x: str) -> None:
    door.bucket.place(f"{x}", b"exactly")
    door.bucket.place(f".tcfs/probe/{x}/race-1", b"the store is being tried out")
    door.designer.write(f"memory/{x}.l", "v\n")
    assert "raw" not in door.designer.ls(".tcfs")
    assert {x, "memory"} <= set(door.designer.ls(".tcfs/raw"))
    assert ".tcfs" not in door.designer.ls(".tcfs/raw")
    assert door.designer.read(f".tcfs/raw/{x}") == "exactly"
    exact = door.bucket.body(f"memory/{x}/l.json")
    assert door.designer.read_bytes(f".tcfs/raw/memory/{x}/l.json") == exact
    for path in (".tcfs", "nothing", "a\udcff"):
        with denied(ENOENT):
            door.designer.stat(f".tcfs/raw/{path}")
    for act in (lambda path: door.designer.write(path, "v"), door.designer.rm):
        with denied(EROFS):
            act(f".tcfs/raw/{x}")
    with denied(EROFS):
        door.designer.write(f".tcfs/raw/{x}-new", "v")
    with denied(EROFS):
        door.designer.mkdir(f".tcfs/raw/{x}-new")


def test_other_prefixes_and_objects_are_at_the_root(door: Door, x: str) -> None:
    """Every other prefix of the bucket is a directory at the root, every object there a file."""
    keys = [f"{x}-top", f"{x}-runs/a", "README", "ready/x"]
    for key in keys:
        door.bucket.place(key, b"v")
    try:
        listed = door.designer.ls(".")
        assert len(listed) == len(set(listed)), "the tree's own hides what has its name"
        assert {f"{x}-top", f"{x}-runs"} <= set(listed)
        assert door.designer.stat(f"{x}-runs").kind == "directory"
        assert door.designer.read(f"as/other/{x}-top") == "v"
        assert door.designer.read("README") != "v"
        with denied(ENOENT):
            door.designer.stat("ready/x")
    finally:
        for key in keys[2:]:
            door.bucket.remove(key)
    door.designer.rm(f"{x}-top")
    assert door.bucket.keys(f"{x}-top") == []
