"""The outbox: mail that was accepted arrives, once, in order, whatever happens meanwhile."""

import errno
import json
import os
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tcfs.project import Project
from tcfs.project.outbox import ATTEMPT, LONGEST, TRY, YOUNG
from tcfs.stores import Denied, OutcomeUnknown, Unavailable
from tcfs.wire import keys
from tcfs.wire.cursor import GRACE
from tcfs.wire.ids import BROADCAST, AgentId, Mailbox
from tests.memory_store import Fault, MemoryStore
from tests.project.parties import A, B, mounted

pytestmark = pytest.mark.usefixtures("autojump_clock")

BOX = Mailbox(A)
SENDERS = [AgentId(name) for name in ("b", "c", "d_d", "é")]
SOON = 2 * (TRY + LONGEST)  # seconds in which an outbox has tried again


@pytest.fixture(autouse=True)
def _disk_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock clock jumps on while a thread works: work on the disk right here instead."""

    async def at_once(work: Callable[[], object]) -> object:
        await trio.lowlevel.checkpoint()
        return work()

    monkeypatch.setattr("tcfs.project.outbox.completed", at_once)


@asynccontextmanager
async def told(store: MemoryStore, state: Path, agent: AgentId = B) -> AsyncIterator[Project]:
    """Yield a mount that knows the store's clock, and was left nothing, or what is in `state`."""
    store.tell_time()
    async with mounted(store, state, agent) as project:
        project.clock.observe(await store.clock())
        await project.present()
        yield project


def away(store: MemoryStore, what: str = "") -> None:
    """Let the store be out of reach, or `what` in it."""

    async def refuse(number: int, verb: str, key: str) -> None:
        if key.startswith(what):
            raise Unavailable("no connection")

    store.each = refuse


def back(store: MemoryStore) -> None:
    store.each = None


def messages(store: MemoryStore, box: str = "a") -> list[str]:
    """Return the texts of what lies in a mailbox, in the order of the keys."""
    found = [key for key in store.stored() if key.startswith(f"messages/{box}/")]
    return [json.loads(store.body(key) or b"")["message"] for key in found if "_cursor" not in key]


def left(state: Path) -> list[Path]:
    return [it for it in (state / "outbox").rglob("*") if it.is_file()]


def crash(state: Path) -> Path:
    """Return a state directory as a mount leaves it that is killed at this moment."""
    copy = state.with_name(f"{state.name}-left")
    shutil.copytree(state, copy)
    return copy


async def unread(project: Project, agent: AgentId = A) -> list[str]:
    news = await project.unread.read(agent)
    await project.unread.mark(agent, news)
    return [it.message.text for it in news.letters]


async def delivered(project: Project) -> None:
    with trio.fail_after(600):
        while project.outbox.waiting:  # noqa: ASYNC110  # it is the store that changes
            await trio.sleep(1)


async def test_mail_is_sent_at_once_if_the_store_answers(tmp_path: Path) -> None:
    store = MemoryStore()
    async with told(store, tmp_path) as project:
        await project.outbox.send(BOX, B, "hi", step="x")
        assert messages(store) == ["hi"]
    assert not (tmp_path / "outbox").exists(), "the disk is not touched"


async def test_sender_waits_for_the_store_for_two_seconds_and_once(tmp_path: Path) -> None:
    store = MemoryStore()

    async def hang() -> None:
        await trio.sleep(ATTEMPT)
        raise Unavailable("no connection")

    async with told(store, tmp_path) as project:
        store.before("PUT", "messages/*", hang)
        begin = trio.current_time()
        await project.outbox.send(BOX, B, "one")
        assert trio.current_time() - begin == pytest.approx(ATTEMPT)
        await project.outbox.send(BOX, B, "two")
        assert trio.current_time() - begin == pytest.approx(ATTEMPT)
        await delivered(project)
        assert messages(store) == ["one", "two"]


@pytest.mark.parametrize("outage", [1, 600, 86400])
async def test_mail_of_an_outage_arrives_once_and_in_order(tmp_path: Path, outage: float) -> None:
    store = MemoryStore()
    async with told(store, tmp_path) as project, mounted(store.other(), tmp_path / "r") as reader:
        reader.clock.observe(await store.other().clock())
        away(store)
        for number in range(25):
            for sender in SENDERS:
                box = BROADCAST if number % 5 == 4 else BOX
                await project.outbox.send(box, sender, f"{sender} {number}")
        assert len(project.outbox.waiting) == len(left(tmp_path)) == 100
        await trio.sleep(outage)
        # A reader's watermark is then past what those messages were sent at.
        await reader.mail.send(BOX, AgentId("x"), "meanwhile")
        assert await unread(reader) == ["meanwhile"]
        back(store)
        await delivered(project)
        assert left(tmp_path) == []
        shown = await unread(reader)
        assert len(shown) == len(set(shown)) == 100
        by_sender = defaultdict(list)
        for text in shown:
            sender, number = text.split()
            by_sender[sender].append(int(number))
        assert dict(by_sender) == {sender: list(range(25)) for sender in SENDERS}
        assert await unread(reader) == []
        in_keys = [it for it in messages(store) if it.startswith("b ")]
        assert in_keys == sorted(in_keys, key=lambda it: int(it.split()[1])), "by key as well"


async def test_key_is_never_older_than_readers_look(tmp_path: Path) -> None:
    store = MemoryStore()
    async with told(store, tmp_path) as project:
        away(store)
        for _ in range(5):
            await project.outbox.send(BOX, B, "hi")
            await trio.sleep(100)
        back(store)
        stored: list[tuple[int, int]] = []

        async def look(number: int, verb: str, key: str) -> None:
            if verb == "PUT" and key.startswith("messages/"):
                leaf = keys.append_leaf(key.rpartition("/")[2])
                assert leaf is not None
                stored.append((leaf.time_ns, project.clock.now()))

        store.each = look
        await delivered(project)
    assert len(stored) == 5
    assert all(now - stamp < GRACE for stamp, now in stored)
    assert stored == sorted(stored)


@pytest.mark.parametrize("minutes", [0, 1, 10])
async def test_mail_a_killed_mount_left_is_sent_by_the_next(tmp_path: Path, minutes: int) -> None:
    store = MemoryStore()
    async with told(store, tmp_path / "1") as project:
        away(store)
        for number in range(5):
            await project.outbox.send(BOX, B, f"{number}\nmöre", step="X.1")
        killed = crash(tmp_path / "1")
        await trio.sleep(60 * minutes)
    assert messages(store) == []
    back(store)
    async with told(store, killed) as project:
        await project.outbox.send(BOX, B, "after")
        await delivered(project)
        assert await unread(project) == [*(f"{it}\nmöre" for it in range(5)), "after"]
        assert {it.message.step for it in await project.mail.inbox(BOX)} == {"X.1", None}
    assert list((killed / "outbox").glob("*/*")) == []


async def test_taking_over_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount begins as soon with thousands of messages: each is sent from where it lies."""
    store = MemoryStore()
    async with told(store, tmp_path / "1") as project:
        away(store)
        for number in range(100):
            await project.outbox.send(BOX, B, f"{number}")
        killed = crash(tmp_path / "1")
    away(store, "messages/")
    before = {it: it.stat().st_ino for it in left(killed)}
    synced = list[int]()
    monkeypatch.setattr(os, "fsync", synced.append)
    async with told(store, killed) as project:
        assert len(project.outbox.waiting) == 100
        assert synced == []
        assert {it: it.stat().st_ino for it in left(killed)} == before
        back(store)
        await delivered(project)
    assert messages(store) == [f"{it}" for it in range(100)]
    assert not list((killed / "outbox").glob("*/*"))


async def test_mail_is_in_order_though_a_clock_was_set_back(tmp_path: Path) -> None:
    store = MemoryStore()
    async with told(store, tmp_path / "1") as project:
        away(store)
        for number in range(5):
            await project.outbox.send(BOX, B, f"{number}")
        (home,) = {it.parent for it in left(tmp_path / "1")}
        for back_by, path in enumerate(sorted(home.iterdir())):
            fields = json.loads(path.read_bytes())
            message = json.loads(fields["message"])
            message["sent_at"] = f"2026-11-{20 - back_by}T12:00:00+00:00"
            path.write_text(json.dumps({**fields, "message": json.dumps(message)}))
        killed = crash(tmp_path / "1")
    back(store)
    async with told(store, killed) as project:
        await delivered(project)
    assert messages(store) == [f"{it}" for it in range(5)]


async def test_mail_of_a_mount_that_lives_is_left_to_it(tmp_path: Path) -> None:
    store = MemoryStore()
    async with told(store, tmp_path) as one:
        away(store)
        await one.outbox.send(BOX, B, "hi")
        async with told(store.other(), tmp_path) as two:
            assert list(two.outbox.waiting) == []
        back(store)
        await delivered(one)
        assert messages(store) == ["hi"]


async def test_mail_of_several_killed_mounts_is_sent_in_the_order_it_was_accepted(
    tmp_path: Path,
) -> None:
    store, state = MemoryStore(), tmp_path / "all"
    async with (
        told(store, tmp_path / "1") as one,
        told(store.other(), tmp_path / "2") as two,
    ):
        away(store)
        away(two.store._store)  # type: ignore[attr-defined]
        for number in range(3):
            await one.outbox.send(BOX, B, f"{2 * number}")
            await trio.sleep(1)
            await two.outbox.send(BOX, B, f"{2 * number + 1}")
            await trio.sleep(1)
        for killed in (crash(tmp_path / "1"), crash(tmp_path / "2")):
            shutil.copytree(killed / "outbox", state / "outbox", dirs_exist_ok=True)
    back(store)
    async with told(store, state) as project:
        await delivered(project)
        assert messages(store) == [f"{it}" for it in range(6)]


async def test_what_is_left_when_a_mount_ends_is_sent_by_the_next(tmp_path: Path) -> None:
    store = MemoryStore()
    async with told(store, tmp_path) as project:
        away(store)
        await project.outbox.send(BOX, B, "hi")
    assert messages(store) == []
    assert len(left(tmp_path)) == 1
    back(store)
    async with told(store, tmp_path) as project:
        await delivered(project)
    assert messages(store) == ["hi"]
    assert left(tmp_path) == []


async def test_mount_that_ends_sends_what_waits(tmp_path: Path) -> None:
    store = MemoryStore()
    async with told(store, tmp_path) as project:
        store.fail("messages/*", Fault.REFUSED)
        await project.outbox.send(BOX, B, "hi")
    assert messages(store) == ["hi"]
    assert left(tmp_path) == []


async def test_nothing_overtakes_what_waits_but_mail_of_others(tmp_path: Path) -> None:
    store = MemoryStore()
    async with told(store, tmp_path) as project:
        store.fail("messages/*", Fault.REFUSED)
        await project.outbox.send(BOX, B, "one")
        await project.outbox.send(Mailbox("x"), B, "two")
        await project.outbox.send(BOX, AgentId("c"), "of another")
        assert messages(store) == ["of another"]
        assert messages(store, "x") == []
        puts = len(store.asked("PUT"))
        await delivered(project)
        assert [it.split("/")[1] for it in store.asked("PUT")[puts:]] == ["a", "x"]


@pytest.mark.parametrize(
    "fault", [Fault.ANSWER_LOST, Fault.DELAYED, Fault.REFUSED, Fault.BROKEN, Fault.CONFLICT]
)
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("crashed", [False, True])
async def test_each_message_is_shown_once_whatever_happens_to_its_requests(
    tmp_path: Path, fault: Fault, times: int, crashed: bool
) -> None:
    store, shown = MemoryStore(), list[str]()
    state = tmp_path / "1"
    async with told(store, state) as project, mounted(store.other(), tmp_path / "r") as reader:
        store.fail("messages/*", fault, times=times)
        for number in range(3):
            await project.outbox.send(BOX, B, f"{number}")
            shown += await unread(reader)
        state = crash(state) if crashed else state
        if crashed:
            project.outbox._waiting.clear()
        await trio.sleep(SOON)
        store.deliver()
        shown += await unread(reader)
        async with told(store, state) as other:
            await delivered(other)
            await delivered(project)
            await trio.sleep(600)
            store.deliver()
            shown += await unread(reader)
            # To a mount that has shown none of them, too.
            assert await unread(other) == []
    assert shown == ["0", "1", "2"]
    assert store.pending_faults == 0


@pytest.mark.parametrize("arrived", [True, False])
async def test_attempt_of_unknown_outcome_is_looked_up_before_its_key_is_too_old(
    tmp_path: Path, arrived: bool
) -> None:
    store = MemoryStore()
    async with told(store, tmp_path) as project:
        store.fail("messages/*", Fault.ANSWER_LOST if arrived else Fault.DELAYED)
        await project.outbox.send(BOX, B, "hi")
        away(store)
        await trio.sleep(YOUNG / 1_000_000_000 + 60)
        before = store.stored()
        back(store)
        store.requests.clear()
        await delivered(project)
        asked = [(verb, key.split("/")[0]) for verb, key in store.requests]
        mail = [verb for verb, first in asked if first == "messages"]
        assert mail == (["GET"] if arrived else ["GET", "DELETE", "PUT"])
        if arrived:
            assert store.stored() == before
        # What arrives now, under a key that no reader need look for, is not shown twice.
        assert await unread(project) == ["hi"]
        store.deliver()
        assert await unread(project) == []
        assert [it.message.text for it in await project.mail.inbox(BOX)] == ["hi"]


async def test_mail_the_store_refuses_at_once_is_told_and_not_kept(tmp_path: Path) -> None:
    """What the store refuses at once is an error at `close`, and is not kept."""
    store = MemoryStore()
    async with told(store, tmp_path) as project:
        store.fail("messages/*", Fault.DENIED)
        with pytest.raises(Denied):
            await project.outbox.send(BOX, B, "hi")
        assert list(project.outbox.waiting) == list(project.outbox.refused) == []
        assert messages(store) == []


async def test_mail_that_is_refused_later_stays_and_holds_up_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with told(store, tmp_path) as project:
        store.fail("messages/*", Fault.REFUSED)
        store.fail("messages/*", Fault.DENIED)
        for text in ("one", "two", "three"):
            await project.outbox.send(BOX, B, text)
        await delivered(project)
        assert messages(store) == ["two", "three"]
        (refused,) = project.outbox.refused
        assert (refused.first_line, refused.box, refused.sender) == ("one", "a", "b")
        assert "access denied" in (refused.refused or "")
        await trio.sleep(3600)
        assert len(left(tmp_path)) == 1
    async with told(store, tmp_path) as project:  # which may have been given the rights
        await delivered(project)
        assert sorted(messages(store)) == ["one", "three", "two"]
        assert list(project.outbox.refused) == left(tmp_path) == []


async def test_mail_that_can_neither_be_sent_nor_kept_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local disk that is full when mail should wait is ENOSPC."""
    store = MemoryStore()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with told(store, tmp_path) as project:
        away(store)
        await project.outbox.send(BOX, B, "one")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left") as error:
                await project.outbox.send(BOX, B, "two")
            assert error.value.errno == errno.ENOSPC
        await project.outbox.send(BOX, B, "three")
        assert len(project.outbox.waiting) == len(left(tmp_path)) == 2
        back(store)
        await delivered(project)
    assert messages(store) == ["one", "three"]


async def test_mail_that_may_be_there_and_cannot_be_kept_is_of_unknown_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with told(store, tmp_path) as project:
        monkeypatch.setattr(os, "fsync", full)
        store.fail("messages/*", Fault.ANSWER_LOST)
        with pytest.raises(OutcomeUnknown, match="No space left"):
            await project.outbox.send(BOX, B, "one")
        assert messages(store) == ["one"]


async def test_file_that_is_no_message_is_left_and_holds_up_nothing(tmp_path: Path) -> None:
    store, state = MemoryStore(), tmp_path / "1"
    async with told(store, state) as project:
        away(store)
        for text in ("one", "two", "three"):
            await project.outbox.send(BOX, B, text)
        killed = crash(state)
    bad = sorted(left(killed))[1]
    bad.write_bytes(b"{")
    bad.with_suffix(".new").write_bytes(b'{"box"')
    back(store)
    async with told(store, killed) as project:
        await delivered(project)
        assert messages(store) == ["one", "three"]
    assert left(killed) == [bad]


async def test_mail_waits_apart_for_each_store(tmp_path: Path) -> None:
    one, two = MemoryStore(), MemoryStore()
    type(two).url.fget  # noqa: B018
    async with told(one, tmp_path) as project:
        away(one)
        await project.outbox.send(BOX, B, "hi")
    (home,) = (tmp_path / "outbox").iterdir()
    home.rename(home.with_name("another-store"))
    async with told(two, tmp_path) as project:
        assert list(project.outbox.waiting) == []
    assert messages(two) == []
    assert len(left(tmp_path)) == 1


async def test_store_that_is_away_is_asked_ever_less_often(tmp_path: Path) -> None:
    store = MemoryStore()
    async with told(store, tmp_path) as project:
        away(store)
        await project.outbox.send(BOX, B, "hi")
        await trio.sleep(60)
        store.requests.clear()
        await trio.sleep(600)
        assert 600 / LONGEST <= len(store.asked("PUT") + store.asked("GET")) <= 300
        back(store)
        # And at once when it answers somebody else.
        await trio.sleep(0.01)
        begin = trio.current_time()
        await project.outbox.send(BOX, AgentId("c"), "the store is back")
        await delivered(project)
        assert trio.current_time() - begin <= 1
        store.requests.clear()
        await trio.sleep(59)
        assert store.asked("PUT") == [] or {it.split("/")[0] for it in store.asked("PUT")} == {
            "agents"
        }


async def test_mail_that_was_kept_wakes_who_waits_in_this_mount(tmp_path: Path) -> None:
    store, came = MemoryStore(), list[str]()
    async with told(store, tmp_path) as project, trio.open_nursery() as nursery:

        async def wait() -> None:
            news = await project.unread.wait(A)
            came.extend(it.message.text for it in news.letters)

        nursery.start_soon(wait)
        await trio.sleep(3)
        store.fail("messages/a/*", Fault.REFUSED)
        await project.outbox.send(BOX, B, "hi")
    assert came == ["hi"]


async def test_command_keeps_no_mail(tmp_path: Path) -> None:
    """Mail that a command cannot send within its deadline is an error, and is not kept."""
    store = MemoryStore()
    async with Project.visit(store, agent=B, host="host", state=tmp_path) as project:
        store.fail("messages/*", Fault.REFUSED)
        refused: Exception | None = None
        try:
            await project.send(BOX, B, "hi", None)
        except Unavailable as error:
            refused = error
        assert refused is not None
        await project.send(BOX, B, "again", None)
    assert messages(store) == ["again"]
    assert not (tmp_path / "outbox").exists()


async def test_command_leaves_a_killed_mounts_mail_to_the_next_mount(tmp_path: Path) -> None:
    store = MemoryStore()
    async with told(store, tmp_path / "1") as project:
        away(store)
        await project.outbox.send(BOX, B, "hi")
        killed = crash(tmp_path / "1")
    back(store)
    async with Project.visit(store, agent=B, host="host", state=killed):
        pass
    assert len(left(killed)) == 1
