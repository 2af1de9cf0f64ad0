"""`.tcfs/outbox`, and sending through the tree while the store is away (tree.md, messages)."""

from collections.abc import Callable
from errno import EROFS
from pathlib import Path

import pytest
import trio

from tcfs.stores import Unavailable
from tests.memory_store import Fault, MemoryStore
from tests.tree.walk import APPEND, Tree, caller, grown, refused

pytestmark = pytest.mark.usefixtures("autojump_clock")


@pytest.fixture(autouse=True)
def _disk_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock clock jumps on while a thread works: work on the disk right here instead."""

    async def at_once(work: Callable[[], object]) -> object:
        await trio.lowlevel.checkpoint()
        return work()

    monkeypatch.setattr("tcfs.project.outbox.completed", at_once)


async def lines(tree: Tree) -> list[str]:
    """Return the lines without their times."""
    shown = (await tree.cat(".tcfs/outbox")).splitlines()
    return [f"{line.partition(' [')[0]} {line.partition('] ')[2]}" for line in shown]


async def test_outbox_lists_what_waits_and_what_was_refused(tmp_path: Path) -> None:
    """`.tcfs/outbox` lists what waits and what was refused, one line each."""
    store = MemoryStore()
    async with grown(tmp_path, store) as tree:
        await tree.project.agents.register(caller("dev").agent)
        assert "outbox" in await tree.ls(".tcfs")
        assert await tree.cat(".tcfs/outbox") == ""
        store.fail("messages/*", Fault.REFUSED)
        store.fail("messages/*", Fault.DENIED)
        store.fail("messages/*", Fault.REFUSED, times=1000)
        await tree.append("messages/dev/inbox", "one\x1b\nmore\n", by="b")
        await tree.append("messages/_broadcast/inbox", "two\n", by="b")
        await trio.sleep(60)
        waiting, last = await lines(tree)
        assert waiting == "waiting b -> _broadcast: two"
        assert last.startswith("refused b -> dev: one\\x1b (messages/dev/")
        assert last.endswith(": access denied)")
        with refused(EROFS):
            await tree.open(".tcfs/outbox", APPEND)


async def test_mailbox_that_was_seen_is_there_while_the_store_is_away(tmp_path: Path) -> None:
    store = MemoryStore()

    async def away(number: int, verb: str, key: str) -> None:
        raise Unavailable("no connection")

    async with grown(tmp_path, store) as tree:
        await tree.project.agents.register(caller("dev").agent)
        await tree.ls("messages/dev")
        store.each = away
        await tree.append("messages/dev/inbox", "hi\n")
        with pytest.raises(Unavailable):
            await tree.append("messages/never-seen/inbox", "hi\n")
        assert await lines(tree) == ["waiting a -> dev: hi"]
        store.each = None
