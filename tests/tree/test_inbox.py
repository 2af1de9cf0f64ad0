"""`inbox` while it is open: it only grows, and costs nothing while nobody looks."""

import time
from pathlib import Path

import pytest
import trio

from tcfs.project._arrivals import PAUSE
from tcfs.stores import Unavailable
from tcfs.tree import Handle
from tcfs.wire.times import iso
from tests.memory_store import MemoryStore
from tests.project.parties import place
from tests.tree.walk import READ, Tree, caller, grown

pytestmark = pytest.mark.usefixtures("autojump_clock")

INBOX = "messages/dev/inbox"


async def registered(tree: Tree) -> None:
    await tree.project.agents.register(caller("dev").agent)


async def size_of(tree: Tree, path: str) -> int:
    return (await (await tree.file(path)).attributes()).size


async def opened(tree: Tree, path: str = INBOX) -> Handle:
    return await (await tree.file(path)).open(READ, caller())


async def send(tree: Tree, text: str, box: str = "dev") -> None:
    await tree.append(f"messages/{box}/inbox", f"{text}\n", by="b")


async def tail(tree: Tree, handle: Handle, offset: int, path: str = INBOX) -> list[str]:
    """Look as `tail -f` does after a second: at the size, and if that has changed, at the rest."""
    await trio.sleep(1)
    size = await size_of(tree, path)
    text = (await handle.read(offset, 1 << 20)).decode() if size != offset else ""
    assert size >= offset
    assert size == offset + len(text.encode())
    return [line.partition(") ")[2] for line in text.splitlines()]


async def test_open_inbox_grows_by_what_comes(tmp_path: Path) -> None:
    """An inbox that is open only grows: order is by time at open, by arrival after."""
    store = MemoryStore()
    async with grown(tmp_path, store) as tree:
        await registered(tree)
        await send(tree, "one")
        handle = await opened(tree)
        content = await handle.read(0, 1 << 20)
        assert await tail(tree, handle, len(content)) == []
        await send(tree, "two")
        await send(tree, "all", "_broadcast")
        # Sent before the others, as another tool does whose clock is behind.
        earlier = time.time_ns() - 60 * 1_000_000_000
        place(
            store,
            f"messages/dev/{earlier}_c_0123abcd.json",
            **{"from": "c", "message": "late", "sent_at": iso(earlier)},
        )
        assert await tail(tree, handle, len(content)) == ["c: late", "b: two", "b: all"]
        grown_to = await size_of(tree, INBOX)
        await send(tree, "three")
        assert await tail(tree, handle, grown_to) == ["b: three"]
        whole = await handle.read(0, 1 << 20)
        assert whole.startswith(content)
        await handle.release()
        assert len(await tree.cat(INBOX)) == len(whole) == await size_of(tree, INBOX)


async def test_message_that_is_removed_stays_in_an_open_inbox(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await registered(tree)
        await send(tree, "one")
        handle = await opened(tree)
        size = await size_of(tree, INBOX)
        _, name = await tree.ls("messages/dev")
        await (await tree.directory("messages/dev")).unlink(name, caller("dev"))
        assert await tail(tree, handle, size) == []
        await send(tree, "two")
        assert await tail(tree, handle, size) == ["b: two"]
        await handle.release()
        assert len(await tree.cat(INBOX)) < size + size


async def test_everybody_s_inbox_grows_too(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await send(tree, "one", "_broadcast")
        path = "messages/_broadcast/inbox"
        handle = await opened(tree, path)
        size = await size_of(tree, path)
        await send(tree, "two", "_broadcast")
        assert await tail(tree, handle, size, path) == ["b: two"]
        await handle.release()


async def test_inbox_that_nobody_looks_at_costs_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with grown(tmp_path, store) as tree:
        await registered(tree)
        await send(tree, "one")
        handle = await opened(tree)
        content = await handle.read(0, 1 << 20)
        store.requests.clear()
        assert await handle.read(len(content), 1 << 20) == b""
        assert store.requests == [], "cat reads once more, to see the end"
        await trio.sleep(1000)
        assert store.requests == []
        await handle.read(len(content), 1 << 20)
        assert [verb for verb, _ in store.requests] == ["LIST", "LIST"]
        await handle.release()
        store.requests.clear()
        await trio.sleep(10)
        await size_of(tree, INBOX)
        assert store.requests == []


async def test_many_who_follow_cost_what_one_does(tmp_path: Path) -> None:
    store = MemoryStore()
    async with grown(tmp_path, store) as tree:
        await registered(tree)
        handles = []
        for number in range(10):
            await send(tree, f"{number}")
            handles.append(await opened(tree))
        await trio.sleep(PAUSE)
        node = await tree.file(INBOX)
        store.requests.clear()
        for _ in range(5):
            await trio.sleep(1)
            await node.attributes()
            for handle in handles:
                await handle.read(1 << 20, 1)
        assert len([verb for verb, _ in store.requests if verb == "LIST"]) == 10
        texts = {await handle.read(0, 1 << 20) for handle in handles}
        assert len(texts) == 1
        for handle in handles:
            await handle.release()


async def test_store_that_is_away_ends_no_tail(tmp_path: Path) -> None:
    store = MemoryStore()

    async def away(number: int, verb: str, key: str) -> None:
        raise Unavailable("not now")

    async with grown(tmp_path, store) as tree:
        await registered(tree)
        await send(tree, "one")
        handle = await opened(tree)
        size = await size_of(tree, INBOX)
        node = await tree.file(INBOX)
        await trio.sleep(1)
        store.each = away
        assert (await node.attributes()).size == size
        assert await handle.read(size, 1 << 20) == b""
        store.each = None
        await send(tree, "two")
        assert await tail(tree, handle, size) == ["b: two"]
        await handle.release()


async def test_following_lists_from_the_watermark_on(tmp_path: Path) -> None:
    store = MemoryStore(page=10)
    for number in range(50):
        key = f"messages/dev/17426556{number:02}000000000_c_0123abcd.json"
        store.place(key, b'{"from": "c", "message": "old"}')
    async with grown(tmp_path, store) as tree:
        await send(tree, "new")
        handle = await opened(tree)
        await trio.sleep(1)
        await handle.read(1 << 20, 1)
        store.requests.clear()
        await trio.sleep(1)
        await handle.read(1 << 20, 1)
        assert len(store.requests) == 2
        await handle.release()
