"""Memory: what no door shows, a look-up and a create that somebody comes between.

The rules are tested in tests/doors.
"""

from errno import EEXIST, ENOENT
from pathlib import Path

import pytest

from tcfs.tree import Directory
from tests.project.parties import place
from tests.tree.walk import EXCLUSIVE, TOUCH, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_exclusive_create_is_one_conditional_put_at_open(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        store = tree.store.other()
        await tree.write("memory/leader", "mine\n", mode=EXCLUSIVE)
        async with grown(tmp_path / "other", store) as other:
            with refused(EEXIST, "set by a"):
                await (await other.directory("memory")).create("leader", EXCLUSIVE, caller("b"))
        assert await tree.cat("memory/leader") == "mine\n"


async def test_touch_empties_no_key_that_came_since_it_was_looked_up(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        memory = await tree.directory("memory")
        with refused(ENOENT):
            await tree.node("memory/late")
        place(tree.store, "memory/late.json", value="theirs", set_by="r")
        _, handle = await memory.create("late", TOUCH, caller())
        await handle.commit()
        assert await tree.cat("memory/late") == "theirs\n"


async def test_listing_tells_sizes_and_times(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.write("memory/k", "hello\n")
        memory = await tree.node("memory")
        assert isinstance(memory, Directory)
        ((name, node),) = await memory.entries(caller())
        assert name == "k"
        assert node.listed is not None
        assert node.listed.size == 6
        assert node.listed.modified > 0
