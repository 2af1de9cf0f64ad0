"""What programs make for themselves: their names one by one, and what is told after a minute.

The rules are tested in tests/doors and, by editors, in tests/mount.
"""

from pathlib import Path

import pytest

from tcfs.tree._view import View
from tcfs.tree.scratch import Room, is_scratch, is_scratch_if_new
from tests.tree.walk import READ, Tree, caller, grown

ALWAYS = [
    ".k.swp", ".k.swo", ".k.swpx", "k~", "k.~1~", "#k#", ".#k", ".~lock.k#",
    ".goutputstream-A1B2C3",
    ".fuse_hidden00000001", ".nfs0000000000000001", ".k.aB3dE6", ".my.key.cQgm1P",
]  # fmt: skip
EXCLUSIVELY = ["4913", "sedPws8P4", "k.tmp", ".tmp", "k.part"]
NEVER = ["k", ".env", ".git", ".k.abc", "sed", "sed12345678", "49131", "k.swp", "#k", "tmp", "~k"]


def room(tree: Tree) -> Room:
    view = tree.root._view  # type: ignore[attr-defined]  # the mount's own
    assert isinstance(view, View)
    return view.local.scratch


@pytest.mark.parametrize("name", [*ALWAYS, *EXCLUSIVELY, *NEVER])
def test_which_names_they_are(name: str) -> None:
    assert is_scratch(name) == (name in ALWAYS)
    assert is_scratch_if_new(name) == (name in ALWAYS or name in EXCLUSIVELY)


async def test_what_is_left_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is left of them has a line in `.tcfs/errors` after a minute, and in the log when the
    mount ends."""
    async with grown(tmp_path) as tree:
        await tree.write("memory/k~", "v")
        await tree.write("memory/other~", "v", by="b")
        assert await tree.cat(".tcfs/errors") == ""
        for _, found in room(tree).left():
            found.modified -= 61 * 10**9
        assert (await tree.cat(".tcfs/errors")).startswith("/memory/k~ lies in the memory of this")
        file = await tree.file("memory/k~")
        handle = await file.open(READ, caller())
        assert await tree.cat(".tcfs/errors") == ""
        await handle.release()
        tree.root.end()  # type: ignore[attr-defined]  # the root's own
        assert [it.getMessage() for it in caplog.records] == [
            "'/memory/k~' was in the memory of this mount only: 1 bytes",
            "'/memory/other~' was in the memory of this mount only: 1 bytes",
        ]
