"""The cache of documents: how old an answer may be, and how large it grows."""

import json

import pytest
import trio
import trio.testing

from tcfs.project._documents import WALK, Documents
from tcfs.stores import Denied, Entry, Unavailable
from tests.memory_store import MemoryStore

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def entries(store: MemoryStore) -> list[Entry]:
    return [entry async for page in store.list("") for entry in page]


async def test_read_asks_again_unless_an_age_is_allowed() -> None:
    store = MemoryStore()
    documents = Documents(store)
    store.place("k", b"one")
    first = await documents.read("k")
    store.place("k", b"two")
    assert first is not None
    assert (await documents.read("k", max_age=WALK)) == first
    fresh = await documents.read("k")
    assert fresh is not None
    assert fresh.body == b"two"


async def test_answer_is_used_for_as_long_as_a_path_walk_and_no_longer() -> None:
    store = MemoryStore()
    documents = Documents(store)
    assert await documents.read("k") is None
    store.place("k", b"one")
    await trio.sleep(WALK - 0.001)
    assert await documents.read("k", max_age=WALK) is None
    await trio.sleep(0.002)
    assert await documents.read("k", max_age=WALK) is not None


async def test_slack_lengthens_an_age_that_is_allowed_and_no_other() -> None:
    """A command is one path walk, however slow the store is."""
    store = MemoryStore()
    documents = Documents(store, slack=5.0)
    store.place("k", b"one")

    async def slowly() -> None:
        await trio.sleep(1)

    store.after("GET", "k", slowly)
    first = await documents.read("k")
    store.place("k", b"two")
    assert await documents.read("k", max_age=WALK) == first
    fresh = await documents.read("k")
    assert fresh is not None
    assert fresh.body == b"two"


async def test_unchanged_object_is_asked_for_by_its_etag() -> None:
    store = MemoryStore()
    documents = Documents(store)
    etag = store.place("k", b"one")
    asked = []
    get = store.get

    async def spy(key: str, *, if_none_match: object = None) -> object:
        asked.append(if_none_match)
        return await get(key, if_none_match=if_none_match)  # type: ignore[arg-type]

    store.get = spy  # type: ignore[assignment, method-assign]
    first = await documents.read("k")
    assert await documents.read("k") == first
    assert asked == [None, etag]


async def test_age_counts_from_the_question() -> None:
    store = MemoryStore()
    documents = Documents(store)
    store.place("k", b"one")

    async def slow() -> None:
        await trio.sleep(10)

    store.after("GET", "k", slow)
    await documents.read("k")
    store.place("k", b"two")
    found = await documents.read("k", max_age=WALK)
    assert found is not None
    assert found.body == b"two"


async def write(documents: Documents, body: bytes) -> None:
    sent = documents.sending("k")
    etag = await documents.store.put("k", body)
    documents.wrote("k", body, etag, 1, sent=sent)


async def shown(documents: Documents) -> bytes | None:
    found = await documents.read("k", max_age=WALK)
    return found.body if found else None


@pytest.mark.parametrize("answered", ["before it", "after it"])
@pytest.mark.parametrize("asked", ["before the write", "while it is sent"])
async def test_own_write_is_seen_at_once_whatever_was_asked_before_it(
    asked: str, answered: str
) -> None:
    store = MemoryStore()
    documents = Documents(store)
    store.place("k", b"one")
    release, was_asked = trio.Event(), trio.Event()

    async def slow() -> None:
        was_asked.set()
        if answered == "after it":
            await release.wait()

    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            store.after("GET", "k", slow)
            nursery.start_soon(documents.read, "k")
            await was_asked.wait()
            await trio.sleep(0.01)

        if asked == "before the write":
            await ask()
        else:
            store.before("PUT", "k", ask)
        await write(documents, b"two")
        release.set()
    assert await shown(documents) == b"two"


@pytest.mark.parametrize("meanwhile", ["it took long", "that was read"])
async def test_own_write_is_not_shown_over_what_another_wrote_since(meanwhile: str) -> None:
    """A mount that was stopped meanwhile is answered late."""
    store = MemoryStore()
    documents = Documents(store)

    async def another_writes() -> None:
        await store.other().put("k", b"theirs")
        if meanwhile == "it took long":
            await trio.sleep(1)
        else:
            await documents.read("k")

    store.after("PUT", "k", another_writes)
    await write(documents, b"ours")
    assert await shown(documents) == b"theirs"


async def test_own_delete_is_asked_for_again_when_its_answer_took_long() -> None:
    store = MemoryStore()
    documents = Documents(store)
    store.place("k", b"ours")

    async def another_writes() -> None:
        await store.other().put("k", b"theirs")
        await trio.sleep(1)

    store.after("DELETE", "k", another_writes)
    sent = documents.sending("k")
    await store.delete("k")
    documents.deleted("k", sent=sent)
    assert await shown(documents) == b"theirs"


async def test_cache_is_bounded_and_drops_the_oldest() -> None:
    store = MemoryStore()
    documents = Documents(store, limit=100_000)
    for number in range(100):
        store.place(f"k{number}", bytes(5000))
        await documents.read(f"k{number}")
        assert documents._size <= 100_000
    assert 10 < len(documents._seen) < 25
    assert "k99" in documents._seen
    await documents.read("absent")
    store.place("huge", bytes(200_000))
    assert await documents.read("huge") is not None
    assert documents._size <= 100_000
    for key in list(documents._seen):
        documents.forget(key)
    assert documents._size == 0


async def test_what_a_listing_shows_is_fetched_once() -> None:
    store = MemoryStore()
    documents = Documents(store)
    for number in range(200):
        store.place(f"k{number}", json.dumps(number).encode())
    listed = await entries(store)
    assert len(await documents.read_many(listed)) == 200
    store.requests.clear()
    assert len(await documents.read_many(listed)) == 200
    assert store.requests == []
    store.place("k7", b"new")
    store.remove("k8")
    await documents.read("k8")
    found = await documents.read_many([*await entries(store), listed[8]])
    assert set(store.asked("GET")) == {"k7", "k8"}
    assert found["k7"].body == b"new"
    assert "k8" not in found


async def test_many_are_fetched_at_once_but_not_all() -> None:
    store = MemoryStore()
    documents = Documents(store)
    for number in range(200):
        store.place(f"k{number}", b"x")
    listed = await entries(store)
    gate = trio.Event()
    for _ in range(200):
        store.before("GET", "*", gate.wait)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(documents.read_many, listed)
        await trio.testing.wait_all_tasks_blocked()
        assert len(store.asked("GET")) == 64
        gate.set()
    assert len(store.asked("GET")) == 200


@pytest.mark.parametrize("error", [Unavailable("away"), Denied("no")])
async def test_error_of_one_of_many_is_raised_as_it_is(error: Exception) -> None:
    store = MemoryStore()
    documents = Documents(store)
    for number in range(100):
        store.place(f"k{number}", b"x")

    async def fail() -> None:
        raise error

    for number in range(0, 100, 10):
        store.before("GET", f"k{number}", fail)
    with pytest.raises(type(error), match=str(error)):
        await documents.read_many(await entries(store))
