"""Paths, walked as the kernel does (tcfs.tree.walk)."""

from collections.abc import Sequence
from errno import EBUSY, EEXIST, EISDIR, ELOOP, ENOTDIR
from pathlib import Path
from typing import final

import pytest

from tcfs.project.errors import Held, Invalid, Missing
from tcfs.tree import Caller, Directory, Link, Node
from tcfs.tree.walk import APPEND, EXCLUSIVE, READ, REPLACE, Walk
from tests.memory_store import MemoryStore
from tests.tree.walk import Tree, caller, grown

pytestmark = pytest.mark.usefixtures("autojump_clock")


def walk_of(tree: Tree, agent: str = "a") -> Walk:
    return Walk(tree.root, caller(agent))


async def put(walk: Walk, path: str, text: str) -> None:
    handle = await walk.open(path, REPLACE)
    await handle.write(0, text.encode())
    await handle.commit()
    await handle.release()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", "/"),
        ("/", "/"),
        (".", "/"),
        ("..", "/"),
        ("../..", "/"),
        ("steps", "/steps"),
        ("/steps/", "/steps"),
        ("//steps//x/.//status", "/steps/x/status"),
        ("steps/x/../y/status", "/steps/y/status"),
        ("steps/X/status", "/steps/x/status"),
        ("steps/X/..", "/steps"),
        ("as/b/steps/X/status", "/as/b/steps/x/status"),
    ],
)
async def test_path_leads_where_the_kernel_would(tmp_path: Path, path: str, found: str) -> None:
    async with grown(tmp_path) as tree:
        assert (await walk_of(tree).find(path)).path == found


async def test_link_itself_is_found_by_its_name(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        assert isinstance(await walk_of(tree).find_itself("steps/X"), Link)
        assert isinstance(await walk_of(tree).find_itself("steps/X/"), Directory)
        assert (await walk_of(tree).find_itself("/")).path == "/"


@pytest.mark.parametrize("path", ["steps/x/status/", "steps/x/status/..", "steps/x/status/more"])
async def test_nothing_is_below_a_file(tmp_path: Path, path: str) -> None:
    async with grown(tmp_path) as tree:
        with pytest.raises(NotADirectoryError) as error:
            await walk_of(tree).find(path)
        assert (error.value.errno, error.value.filename) == (ENOTDIR, "/steps/x/status")


@final
class Links(Directory):
    """A directory of links, by where each leads."""

    def __init__(self, **targets: str) -> None:
        super().__init__("/")
        self._targets = targets

    async def lookup(self, name: str, caller: Caller) -> Node:
        if name not in self._targets:
            raise Missing(f"there is no {name}")
        return Link(self.child(name), self._targets[name])

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        return []


async def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    walk = Walk(Links(round="there", there="round", out="/etc/passwd", gone="nothing"), caller())
    for mode in (READ, APPEND):
        with pytest.raises(OSError, match="mend the link") as error:
            await walk.open("round", mode)
        assert error.value.errno == ELOOP
    with pytest.raises(OSError, match="mend the link"):
        await walk.find("round/more")
    with pytest.raises(Missing, match="out of the tree, to /etc/passwd"):
        await walk.find("out")
    with pytest.raises(Missing, match="there is no nothing"):
        await walk.open("gone", READ)


async def test_opening_makes_what_is_not_there(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        walk = walk_of(tree)
        await put(walk, "steps/X/claim", "mine\n")
        await put(walk, "memory/a/b/c", "v\n")
        await put(walk, "artifacts/y/b/c", "v\n")
        assert await tree.cat("steps/x/owner") == "a\n"
        assert await tree.cat("memory/a.b.c") == "v\n"
        assert await tree.cat("artifacts/y/b/c") == "v\n"
        with pytest.raises(Missing):
            await walk.open("memory/nothing/below", READ)
        with pytest.raises(Missing):
            await walk.open("messages/nobody/inbox", APPEND)
        for path in ("step/x/claim", "steps/y/claim/note"):
            with pytest.raises(Missing):
                await walk.open(path, REPLACE)
        assert await tree.cat("steps/y/status") == "pending\n"


@pytest.mark.parametrize("path", ["/", "steps", "steps/", "steps/x/..", "steps/X"])
async def test_directory_is_not_opened(tmp_path: Path, path: str) -> None:
    async with grown(tmp_path) as tree:
        for mode in (READ, REPLACE):
            with pytest.raises(IsADirectoryError) as error:
                await walk_of(tree).open(path, mode)
            assert error.value.errno == EISDIR


async def test_exclusive_is_for_what_is_new(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        walk = walk_of(tree)
        with pytest.raises(FileExistsError) as error:
            await walk.open("steps/x/status", EXCLUSIVE)
        assert error.value.errno == EEXIST
        await put(walk, "steps/x/claim", "mine\n")
        with pytest.raises(Held, match="held by a"):
            await walk.open("steps/x/claim", EXCLUSIVE)


async def test_removing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with grown(tmp_path, store) as tree:
        walk = walk_of(tree)
        await put(walk, "steps/x/claim", "mine\n")
        await put(walk, "steps/x/log", "one\n")
        await walk.remove("steps/x/log")
        with pytest.raises(Missing):
            await walk.remove("steps/x/log")
        with pytest.raises(IsADirectoryError):
            await walk.remove("steps/x")
        with pytest.raises(OSError, match="by name") as error:
            await walk.remove_tree("/")
        assert error.value.errno == EBUSY
        with pytest.raises(Invalid, match="ends in"):
            await walk.remove_tree("steps/x/..")
        await walk.remove_tree("steps/x/status")
        await walk.remove_tree("steps/x")
    assert not [key for key in store.stored() if key.startswith("steps/")]


async def test_making_directories(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        walk = walk_of(tree)
        await walk.make_directory("steps/x/claim")
        with pytest.raises(Held, match="held by a"):
            await walk_of(tree, "b").make_directory("steps/x/claim")
        for path in ("/", "steps", "steps/y"):
            with pytest.raises(FileExistsError):
                await walk.make_directory(path)
            await walk.make_directories(path)
        await walk.make_directories("memory/a/b")
        with pytest.raises(NotADirectoryError):
            await walk.make_directories("steps/x/status")
        with pytest.raises(Missing, match="tcfs init --agent nobody"):
            await walk.make_directory("as/b/messages/nobody")
