"""Paths, walked as the kernel does: the links that no tree of ours has (tcfs.tree.walk).

The rules are tested in tests/doors.
"""

from collections.abc import Sequence
from errno import ELOOP
from pathlib import Path
from typing import final

import pytest

from tcfs.project.errors import Missing
from tcfs.tree import Caller, Directory, Link, Node
from tcfs.tree.walk import APPEND, READ, Walk
from tests.tree.walk import caller

pytestmark = pytest.mark.usefixtures("autojump_clock")


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
