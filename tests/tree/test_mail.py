"""Mail: what no door shows, a minute and what is forgotten after it.

The rules are tested in tests/doors.
"""

from errno import ENOENT
from pathlib import Path

import pytest
import trio

from tests.tree.walk import Tree, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def register(tree: Tree, *agents: str) -> None:
    for agent in agents:
        await tree.project.agents.register(caller(agent).agent)


async def test_name_that_was_sent_resolves_for_a_minute(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        await tree.write("messages/dev/note.txt", "a note\n")
        await trio.sleep(59)
        assert await tree.cat("messages/dev/note.txt") == ""
        await trio.sleep(2)
        with refused(ENOENT):
            await tree.node("messages/dev/note.txt")


async def test_names_that_were_sent_are_forgotten(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await register(tree, "dev")
        for number in range(50):
            await tree.write(f"messages/dev/note{number}", "x\n")
            await trio.sleep(10)
        sent = tree.root._view.local.sent  # type: ignore[attr-defined]
        assert len(sent) <= 7
