"""What an open file does while it is polled: it waits as a read would, and takes nothing."""

from pathlib import Path

import pytest
import trio

from tcfs.project.errors import WontComplete
from tcfs.wire.ids import AgentId
from tests.memory_store import MemoryStore
from tests.project.parties import STATUS, reference_claims, reference_status, state_of
from tests.tree.walk import READ, grown

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_wait_for_a_step_is_readable_once_it_is_complete(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_claims(store, "r")
    async with grown(tmp_path, store) as tree, trio.open_nursery() as nursery:
        handle = await tree.open("steps/x/wait", READ)
        nursery.start_soon(handle.until_readable)
        await trio.sleep(5)
        assert not handle.readable
        reference_status(store, "complete", "r")
        await trio.sleep(2)
        assert handle.readable
        reference_status(store, "pending", "r")
        assert await handle.read(0, 100) == b"complete\n", "as it was told"


async def test_wait_for_a_complete_step_is_readable_at_once(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_status(store, "complete", "r")
    async with grown(tmp_path, store) as tree:
        assert (await tree.open("steps/x/wait", READ)).readable


async def test_wait_that_cannot_end_says_so(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_status(store, "failed", "r")
    async with grown(tmp_path, store) as tree:
        handle = await tree.open("steps/x/wait", READ)
        with pytest.raises(WontComplete):
            await handle.until_readable()
        with pytest.raises(WontComplete):
            await handle.read(0, 100)


async def test_many_who_wait_for_what_nobody_has_heard_of_are_told_once_a_minute(
    tmp_path: Path,
) -> None:
    async with grown(tmp_path) as tree:
        for _ in range(2):
            for _ in range(50):
                await tree.open("steps/nothing/wait", READ)
            await tree.open("steps/other/wait", READ)
            await trio.sleep(61)
        assert tree.store.asked("LIST") == ["steps/"] * 4
        assert tree.refusals.text(AgentId("a")).count("/steps/nothing/wait") == 2


async def test_mail_is_marked_when_it_is_read_not_when_it_is_polled(tmp_path: Path) -> None:
    async with grown(tmp_path) as tree:
        await tree.project.present()
        handle = await tree.open("messages/a/wait", READ)
        assert not handle.readable
        await tree.append("messages/a/inbox", "hi\n", by="b")
        await handle.until_readable()
        assert handle.readable
        await handle.commit()
        await handle.release()
        assert "hi" in await tree.cat("messages/a/wait"), "nothing was marked"
        assert await tree.cat("messages/a/unread") == ""


async def test_step_that_was_taken_for_a_poll_is_read_or_given_back(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_status(store, "pending", "r")
    async with grown(tmp_path, store) as tree:
        for read in (False, True):
            handle = await tree.open("ready/take", READ)
            await handle.until_readable()
            await handle.until_readable()
            assert handle.readable
            assert state_of(store).agent == "a"
            if read:
                assert await handle.read(0, 100) == b"x\n"
                assert await handle.read(2, 100) == b""
            await handle.commit()
            await handle.release()
            await trio.sleep(1)
            assert state_of(store).agent == ("a" if read else None)


async def test_step_that_is_taken_while_the_file_is_closed_is_given_back(tmp_path: Path) -> None:
    store = MemoryStore()
    reference_status(store, "pending", "r")
    async with grown(tmp_path, store) as tree, trio.open_nursery() as nursery:
        handle = await tree.open("ready/take", READ)
        ready = tree.project.ready
        take = ready.take

        async def slow(agent: object) -> object:
            won = await take(agent)  # type: ignore[arg-type]  # passed on
            await handle.release()
            return won

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(ready), "take", lambda self, agent: slow(agent))
            nursery.start_soon(handle.until_readable)
            await trio.sleep(2)
        assert store.asked("PUT").count(STATUS) >= 2
        assert state_of(store).agent is None
