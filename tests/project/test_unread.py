"""`unread` and `wait`: each message once to a reader of ours, and none lost (tree.md, messages)."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tcfs.project import News, Project
from tcfs.project._watch import TICK
from tcfs.stores import Denied, Unavailable
from tcfs.wire import keys
from tcfs.wire.cursor import GRACE, SEEN
from tcfs.wire.ids import BROADCAST, AgentId, Mailbox
from tests.memory_store import EPOCH, Fault, MemoryStore
from tests.project.parties import A, B, mounted, place, present

pytestmark = pytest.mark.usefixtures("autojump_clock")

BOX = Mailbox(A)
CURSOR = keys.cursor(A)
PREFIX = keys.mail(BOX)


def texts(news: News) -> list[str]:
    return [it.message.text for it in news.letters]


async def read(project: Project, agent: AgentId = A) -> list[str]:
    """Read to the end: what is shown is marked."""
    news = await project.unread.read(agent)
    await project.unread.mark(agent, news)
    return texts(news)


def arrive(
    store: MemoryStore, text: str, stamp: int, *, to: str = "a", sender: str = "b", **more: str
) -> str:
    """Store a message as whoever else does; return its key."""
    unique = more.get("id", f"{abs(hash(text)):032x}")[-8:]
    key = f"messages/{to}/{stamp:019d}_{sender}_{unique}.json"
    document = {"from": sender, "to": to, "message": text, "sent_at": "2026-03-22T15:00:00+00:00"}
    place(store, key, **document, **more)
    return key


def now(seconds: float = 0.0) -> int:
    """What the clock of `told` shows, so many seconds from now."""
    return int((EPOCH + trio.current_time() + seconds) * 1_000_000_000)


async def told(project: Project, store: MemoryStore) -> None:
    """Let a mount know the store's clock, which goes as trio's does."""
    store.tell_time()
    project.clock.monotonic = lambda: int(trio.current_time() * 1_000_000_000)
    project.clock.observe(await store.clock())
    store.requests.clear()


async def test_each_message_shows_until_it_was_read_to_the_end(tmp_path: Path) -> None:
    async with mounted(MemoryStore(), tmp_path) as project:
        await project.mail.send(BOX, B, "one")
        await project.mail.send(BROADCAST, B, "two")
        await project.mail.send(BROADCAST, A, "my own")
        assert texts(await project.unread.read(A)) == ["one", "two"]
        assert await read(project) == ["one", "two"]
        assert await read(project) == []
        await project.mail.send(BOX, B, "three")
        assert await read(project) == ["three"]
        assert await read(project, B) == ["my own"]


async def test_other_mounts_know_what_was_read(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await one.mail.send(BOX, B, "one")
        assert await read(one) == ["one"]
        assert await read(two) == []


async def test_cursor_is_the_reference_s_and_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    store = MemoryStore()
    place(store, CURSOR, theirs=1, direct={"watermark": None, "seen": [], "more": 2})
    async with mounted(store, tmp_path) as project:
        await told(project, store)
        key = arrive(store, "hi", now())
        assert await read(project) == ["hi"]
    found = present(store, CURSOR)
    horizon = int(key[len(PREFIX) :].split("_")[0]) - GRACE
    assert found["direct"] == {"watermark": f"{PREFIX}{horizon}", "seen": [key], "more": 2}
    assert found["broadcast"] == {"watermark": None, "seen": []}
    assert found["theirs"] == 1
    assert found["updated_at"].endswith("+00:00")


@pytest.mark.parametrize(
    "cursor",
    [
        b"",
        b"{",
        b"[]",
        b'{"direct": 1, "broadcast": []}',
        b'{"direct": {"watermark": 1, "seen": 2}}',
        b'{"direct": {"watermark": "zzz", "seen": [1, null]}}',
        b'{"direct": "messages/a/zzz"}',
        b'{"direct": "messages/other/9999999999999999999_x_00000000.json"}',
    ],
)
async def test_malformed_cursor_shows_everything(tmp_path: Path, cursor: bytes) -> None:
    store = MemoryStore()
    store.place(CURSOR, cursor)
    async with mounted(store, tmp_path) as project:
        await project.mail.send(BOX, B, "hi")
        assert await read(project) == ["hi"]
        assert await read(project) == []


async def test_bare_key_is_an_old_watermark(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.mail.send(BOX, B, "old")
        (old,) = store.stored()
        await project.mail.send(BOX, B, "new")
        place(store, CURSOR, direct=old)
        assert await read(project) == ["new"]


async def test_mailbox_is_listed_from_the_watermark_on(tmp_path: Path) -> None:
    store = MemoryStore(page=10)
    async with mounted(store, tmp_path) as project:
        await told(project, store)
        for number in range(100):
            arrive(store, f"{number}", now(number - 1000))
        arrive(store, "last", now(-1))
        assert len(await read(project)) == 101
        store.requests.clear()
        arrive(store, "new", now())
        assert await read(project) == ["new"]
        # The cursor, two listings of a page each, the message; the cursor again, and its write.
        assert len(store.requests) == 6
        store.requests.clear()
        assert await read(project) == []
        assert len(store.requests) == 3


async def test_message_that_lands_late_under_an_older_key_is_shown(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await told(project, store)
        arrive(store, "newer", now())
        assert await read(project) == ["newer"]
        arrive(store, "late", now(-299))
        assert await read(project) == ["late"]
        assert await read(project) == []


async def test_watermark_never_moves_back(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await told(project, store)
        key = arrive(store, "newer", now())
        await read(project)
        before = present(store, CURSOR)["direct"]["watermark"]
        store.remove(key)
        arrive(store, "older", now(-100))
        assert await read(project) == ["older"]
        assert present(store, CURSOR)["direct"]["watermark"] == before


async def test_sender_whose_clock_is_ahead_hides_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await told(project, store)
        arrive(store, "from the future", now(86400))
        assert await read(project) == ["from the future"]
        arrive(store, "on time", now())
        assert await read(project) == ["on time"]
        assert await read(project) == []


async def test_more_than_the_cursor_holds_is_shown_again(tmp_path: Path) -> None:
    """Over 1000 messages within five minutes are shown again."""
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await told(project, store)
        for number in range(SEEN + 5):
            arrive(store, f"{number}", now(number / 100))
        assert len(await read(project)) == SEEN + 5
    async with mounted(store.other(), tmp_path) as project:  # which remembers no name
        assert len(await read(project)) == 5
    assert len(present(store, CURSOR)["direct"]["seen"]) == SEEN


async def test_what_two_readers_mark_is_joined(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        await one.mail.send(BOX, B, "one")
        first = await one.unread.read(A)
        await one.mail.send(BROADCAST, B, "two")
        second = await two.unread.read(A)

        async def meanwhile() -> None:
            await two.unread.mark(A, second)

        store.before("PUT", CURSOR, meanwhile)
        await one.unread.mark(A, first)
        assert await read(one) == []
        assert await read(two) == []
    seen = present(store, CURSOR)
    assert len(seen["direct"]["seen"]) == len(seen["broadcast"]["seen"]) == 1


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.DELAYED, Fault.REFUSED, Fault.CONFLICT])
async def test_mark_whose_answer_is_lost_is_made(tmp_path: Path, fault: Fault) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.mail.send(BOX, B, "one")
        store.fail(CURSOR, fault)
        assert await read(project) == ["one"]
        store.deliver()
        assert await read(project) == []
        await project.mail.send(BOX, B, "two")
        assert await read(project) == ["two"]
        assert store.pending_faults == 0


async def test_mark_that_is_refused_shows_the_mail_again(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await project.mail.send(BOX, B, "one")
        store.fail(CURSOR, Fault.DENIED)
        with pytest.raises(Denied):
            await read(project)
        assert await read(project) == ["one"]
        assert await read(project) == []


async def test_unreadable_message_marks_nothing(tmp_path: Path) -> None:
    store = MemoryStore()

    async def away() -> None:
        raise Unavailable("not now")

    async with mounted(store, tmp_path) as project:
        await project.mail.send(BOX, B, "one")
        await project.mail.send(BOX, B, "two")
        store.before("GET", f"{PREFIX}*_b_*", away)
        with pytest.raises(Unavailable):
            await read(project)
        assert await read(project) == ["one", "two"]


async def test_message_that_lies_there_twice_is_shown_once(tmp_path: Path) -> None:
    store, name = MemoryStore(), "0123456789abcdef01234567"
    async with mounted(store, tmp_path) as project:
        await told(project, store)
        arrive(store, "hi", now(1), id=name)
        arrive(store, "hi", now(2), id=name)
        arrive(store, "hi", now(3), id=name, sender="c")
        assert [it.message.sender for it in await project.mail.inbox(BOX)] == ["b", "c"]
        assert await read(project) == ["hi", "hi"]
        assert await read(project) == []


@pytest.mark.parametrize("removed", [False, True])
async def test_second_copy_of_what_another_mount_showed_is_not_shown(
    tmp_path: Path, removed: bool
) -> None:
    store, name = MemoryStore(), "0123456789abcdef01234567"
    async with mounted(store, tmp_path / "1") as one, mounted(store.other(), tmp_path / "2") as two:
        for project in (one, two):
            await told(project, store)
        first = arrive(store, "hi", now(1), id=name)
        assert await read(one) == ["hi"]
        if removed:
            store.remove(first)
        arrive(store, "hi", now(2), id=name)
        arrive(store, "another", now(3), id=f"{name[:-1]}0")
        assert await read(two) == ["another"]


async def test_mount_remembers_what_it_showed_when_the_cursor_does_not(tmp_path: Path) -> None:
    store, name = MemoryStore(), "0123456789abcdef01234567"
    async with mounted(store, tmp_path) as project:
        await told(project, store)
        first = arrive(store, "hi", now(-1000), id=name)
        assert await read(project) == ["hi"]
        arrive(store, "newer", now(-1))
        assert await read(project) == ["newer"]
        assert first not in present(store, CURSOR)["direct"]["seen"]
        store.remove(first)
        arrive(store, "hi", now(), id=name)
        assert await read(project) == []


async def test_copies_of_half_a_name_are_told_apart(tmp_path: Path) -> None:
    store = MemoryStore()
    async with mounted(store, tmp_path) as project:
        await told(project, store)
        arrive(store, "one", now(1), id="a" * 16 + "01234567")
        assert await read(project) == ["one"]
        arrive(store, "two", now(2), id="b" * 16 + "01234567")
        assert await read(project) == ["two"]


# waiting


async def waiting(project: Project, came: list[Any], agent: AgentId = A) -> None:
    news = await project.unread.wait(agent)
    came.append((trio.current_time(), texts(news)))
    await project.unread.mark(agent, news)


async def test_wait_with_something_there_returns_at_once(tmp_path: Path) -> None:
    store, came = MemoryStore(), list[Any]()
    async with mounted(store, tmp_path) as project:
        await project.mail.send(BOX, B, "hi")
        store.requests.clear()
        await waiting(project, came)
        assert came == [(trio.current_time(), ["hi"])]


@pytest.mark.parametrize("box", [BOX, BROADCAST])
async def test_mail_through_this_mount_wakes_at_once(tmp_path: Path, box: Mailbox) -> None:
    came = list[Any]()
    async with mounted(MemoryStore(), tmp_path) as project, trio.open_nursery() as nursery:
        nursery.start_soon(waiting, project, came)
        await trio.sleep(10.3)
        await project.mail.send(BROADCAST, A, "my own wakes nobody")
        await trio.sleep(10)
        assert came == []
        await project.mail.send(box, B, "hi")
        sent = trio.current_time()
    assert came == [(pytest.approx(sent, abs=0.001), ["hi"])]


async def test_mail_of_another_wakes_within_a_tick(tmp_path: Path) -> None:
    store, came = MemoryStore(), list[Any]()
    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        await told(project, store)
        nursery.start_soon(waiting, project, came)
        await trio.sleep(10.3)
        arrive(store, "hi", now())
        sent = trio.current_time()
    ((when, found),) = came
    assert (found, when <= sent + TICK + 0.001) == (["hi"], True)
    assert json.loads(store.body(CURSOR) or b"")["direct"]["seen"]


async def test_two_who_wait_as_one_agent_are_both_shown_it(tmp_path: Path) -> None:
    came = list[Any]()
    async with mounted(MemoryStore(), tmp_path) as project, trio.open_nursery() as nursery:
        nursery.start_soon(waiting, project, came)
        nursery.start_soon(waiting, project, came)
        await trio.sleep(5)
        await project.mail.send(BOX, B, "hi")
    assert [found for _, found in came] == [["hi"], ["hi"]]


async def test_many_who_wait_cost_what_one_does(tmp_path: Path) -> None:
    costs = []
    for waiters in (1, 100):
        store, came = MemoryStore(), list[Any]()
        async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
            for _ in range(waiters):
                nursery.start_soon(waiting, project, came)
            await trio.sleep(0.5)
            store.requests.clear()
            await trio.sleep(20)
            costs.append(len(store.requests))
            nursery.cancel_scope.cancel()
    assert costs == [40, 40], "two listings a tick"


async def test_store_that_is_away_is_waited_out(tmp_path: Path) -> None:
    store, came = MemoryStore(), list[Any]()

    async def away() -> None:
        raise Unavailable("not now")

    async with mounted(store, tmp_path) as project, trio.open_nursery() as nursery:
        store.before("GET", CURSOR, away)
        for prefix in (PREFIX, PREFIX, keys.mail(BROADCAST)):
            store.before("LIST", prefix, away)
        nursery.start_soon(waiting, project, came)
        await trio.sleep(20)
        assert came == []
        await project.mail.send(BOX, B, "hi")
    assert [found for _, found in came] == [["hi"]]


async def test_mail_that_comes_while_a_wait_begins_is_seen(tmp_path: Path) -> None:
    """Whenever it comes: before any request of the beginning, or after it."""
    for gap in range(8):
        store, came = MemoryStore(), list[Any]()
        sent = False

        async def send(number: int, verb: str, key: str, gap: int = gap) -> None:
            nonlocal sent
            if number == gap and not sent:
                sent = True
                arrive(store, "hi", (EPOCH + 1) * 1_000_000_000)  # noqa: B023

        async with mounted(store, tmp_path / str(gap)) as project, trio.open_nursery() as nursery:
            store.each = send
            with trio.move_on_after(30):
                await waiting(project, came)
            nursery.cancel_scope.cancel()
        assert (gap, [found for _, found in came]) == (gap, [["hi"]])


async def test_wait_that_is_given_up_marks_nothing(tmp_path: Path) -> None:
    store, came = MemoryStore(), list[Any]()
    async with mounted(store, tmp_path) as project:
        with trio.move_on_after(5):
            await waiting(project, came)
        await project.mail.send(BOX, B, "hi")
        assert CURSOR not in store.stored()
        assert await read(project) == ["hi"]
        store.requests.clear()
        await trio.sleep(100)
        assert store.requests == [], "nobody waits"
