"""Paths through both doors: tcfs.tree.walk goes where the kernel goes for a mount."""

from errno import EEXIST, EISDIR, ENOENT, ENOTDIR

import pytest

from tests.doors.denied import denied
from tests.doors.hands import Door


@pytest.mark.parametrize(
    "path",
    [
        "steps/{x}/status",
        "./steps//{x}/.//status",
        "steps/other/../{x}/status",
        "steps/{X}/status",
        "steps/{X}/../{x}/status",
        "as/developer/steps/{X}/status",
        "steps/../as/developer/../../steps/{x}/status",
        "memory/_history/../../steps/{x}/status",
    ],
)
def test_path_leads_where_the_kernel_would(door: Door, x: str, path: str) -> None:
    door.designer.write(f"steps/{x}/status", "needs_review\n")
    assert door.developer.read(path.format(x=x, X=x.upper())) == "needs_review\n"


def test_link_itself_is_found_by_its_name(door: Door, x: str) -> None:
    assert door.designer.stat(f"steps/{x.upper()}").kind == "link"
    for path in (f"steps/{x.upper()}/", f"steps/{x.upper()}/..", f"steps/{x}", "steps/", "."):
        assert door.designer.stat(path).kind == "directory"


@pytest.mark.parametrize("below", ["", "..", "more"])
def test_nothing_is_below_a_file(door: Door, x: str, below: str) -> None:
    for act in (door.designer.read, door.designer.stat):
        with denied(ENOTDIR, command="Not a directory"):
            act(f"steps/{x}/status/{below}")
    with denied(ENOTDIR, command="Not a directory"):
        door.designer.mkdir(f"steps/{x}/status/more")


@pytest.mark.parametrize("path", [".", "steps", "steps/", "steps/{x}/..", "steps/{X}"])
def test_directory_is_no_file(door: Door, x: str, path: str) -> None:
    path = path.format(x=x, X=x.upper())
    for act in (
        door.designer.read,
        lambda it: door.designer.write(it, "v"),
        lambda it: door.designer.append(it, "v"),
    ):
        with denied(EISDIR):
            act(path)


def test_directory_is_not_removed_as_a_file(door: Door, x: str) -> None:
    for path in ("steps", f"steps/{x}", "memory"):
        with denied(EISDIR):
            door.designer.rm(path)


def test_what_is_there_is_not_made_again(door: Door, x: str) -> None:
    door.designer.write(f"steps/{x}/log", "v")
    for path in (".", "steps", f"steps/{x}", f"steps/{x}/log"):
        with denied(EEXIST):
            door.designer.mkdir(path)
    for path in (".", "steps", f"steps/{x}"):
        door.designer.mkdir_parents(path)
    for name in ("log", "status"):
        with denied(EEXIST):
            door.designer.exclusive(f"steps/{x}/{name}", "new")


def test_nothing_is_made_on_the_way_where_a_name_means_something(door: Door, x: str) -> None:
    for path in (f"{x}/a/claim", f"steps/{x}/claim/note", f"messages/{x}/inbox"):
        with denied(ENOENT):
            door.designer.write(path, "v\n")
    assert door.designer.read(f"steps/{x}/status") == "pending\n"
    with denied(ENOENT):
        door.designer.read(f"memory/{x}/below")


def test_directories_are_made_with_those_above_them(door: Door, x: str) -> None:
    door.designer.mkdir_parents(f"memory/{x}/a/b")
    door.designer.write(f"memory/{x}/a/b/c", "v\n")
    assert door.bucket.body(f"memory/{x}/a/b/c.json") is not None
    door.designer.mkdir_parents(f"artifacts/{x}/b")
    door.designer.write(f"artifacts/{x}/b/c", "v\n")
    assert door.bucket.body(f"artifacts/{x}/b/c") == b"v\n"
    for path in (f"steps/{x}/status", f"steps/{x}/status/more"):
        with denied(ENOTDIR if path.endswith("more") else EEXIST):
            door.designer.mkdir_parents(path)
