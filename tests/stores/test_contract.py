"""What every store does: the same tests, unchanged, on a directory, moto and SeaweedFS."""

from collections.abc import AsyncIterator, Sequence

import pytest
import trio

from tcfs.stores import (
    MAX_WHOLE,
    AlreadyExists,
    Conflict,
    ETag,
    InvalidKey,
    NotFound,
    NotModified,
    Object,
    Oversized,
    PreconditionFailed,
    Store,
    boottime,
)
from tcfs.stores.deadline import within
from tcfs.stores.observed import Observed
from tests.stores.looking import get, listed

SECOND = 1_000_000_000  # nanoseconds
OTHER = ETag("0123456789abcdef0123456789abcdef")

ODD = [
    "with space",
    "hash#question?percent%tilde~",
    "star*brace{}bracket[]pipe|",
    'quote"plus+amp&colon:equals=at@',
    "100%25 %2F",
    "grüße/日本語/😀",
    "e\u0301 decomposed",
    "-leading/.hidden/..twodots",
    "semi;comma,dollar$excl!paren()'^`<>",
]


async def fill(store: Store, keys: Sequence[str]) -> None:
    gate = trio.Semaphore(32)

    async def put(key: str) -> None:
        async with gate:
            await store.put(key, key.encode())

    async with trio.open_nursery() as nursery:
        for key in keys:
            nursery.start_soon(put, key)


# reading back what was written


@pytest.mark.parametrize("body", [b"", b"x", b'{"a": 1}', bytes(range(256)) * 5000])
async def test_get_returns_what_put_stored(store: Store, body: bytes) -> None:
    etag = await store.put("a/b.json", body)
    answer = await get(store, "a/b.json")
    assert answer.body == body
    assert answer.etag == etag
    assert '"' not in etag
    assert etag


async def test_all_ways_of_asking_give_the_same_etag_size_and_time(store: Store) -> None:
    etag = await store.put("d/k", b"twelve bytes")
    answer = await get(store, "d/k")
    head = await store.head("d/k")
    part = await store.get_range("d/k", 0, 3)
    (entry,) = await listed(store, "d/")
    _, (also,) = await store.list_dir("d/")
    assert {answer.etag, head.etag, part.etag, entry.etag, also.etag} == {etag}
    assert head.size == entry.size == also.size == 12
    assert head.key == entry.key == also.key == "d/k"
    # S3's headers have whole seconds, its listings milliseconds.
    times = {a.modified // 10**9 for a in (answer, head, part, entry, also)}
    assert len(times) == 1
    assert times.pop() > 1_600_000_000


async def test_put_replaces_and_changes_the_etag(store: Store) -> None:
    first = await store.put("k", b"1")
    second = await store.put("k", b"22")
    assert first != second
    assert await get(store, "k") == Object(b"22", second, (await get(store, "k")).modified)


async def test_a_missing_object_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="nope"):
        await store.get("nope")
    with pytest.raises(NotFound):
        await store.head("nope")
    with pytest.raises(NotFound):
        await store.get_range("nope", 0, 10)
    with pytest.raises(NotFound):
        await store.get_range("nope", 0, 0)
    with pytest.raises(NotFound):
        await store.get("nope", if_none_match=OTHER)


async def test_an_unchanged_object_is_not_modified(store: Store) -> None:
    etag = await store.put("k", b"1")
    assert isinstance(await store.get("k", if_none_match=etag), NotModified)
    assert isinstance(await store.get("k", if_none_match=OTHER), Object)
    await store.put("k", b"2")
    assert isinstance(await store.get("k", if_none_match=etag), Object)


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 4, b"0123"), (4, 3, b"456"), (8, 10, b"89"), (10, 5, b""), (99, 5, b""), (3, 0, b"")],
)
async def test_a_range_ends_where_the_object_does(
    store: Store, offset: int, length: int, expected: bytes
) -> None:
    etag = await store.put("k", b"0123456789")
    answer = await store.get_range("k", offset, length)
    assert answer.body == expected
    assert answer.etag == etag


async def test_a_range_of_an_empty_object_is_empty(store: Store) -> None:
    await store.put("k", b"")
    assert (await store.get_range("k", 0, 10)).body == b""


# conditions


async def test_a_create_fails_where_there_is_an_object(store: Store) -> None:
    etag = await store.put("k", b"1", if_absent=True)
    with pytest.raises(AlreadyExists, match="k"):
        await store.put("k", b"2", if_absent=True)
    assert (await get(store, "k")).etag == etag


async def test_one_of_twenty_concurrent_creators_wins(store: Store) -> None:
    won: list[int] = []
    lost: list[int] = []

    async def create(number: int) -> None:
        try:
            await store.put("race/k", b"%d" % number, if_absent=True)
            won.append(number)
        except (AlreadyExists, Conflict):
            lost.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(create, number)
    assert len(won) == 1
    assert len(lost) == 19
    assert (await get(store, "race/k")).body == b"%d" % won[0]


async def test_a_replace_needs_the_current_etag(store: Store) -> None:
    first = await store.put("k", b"1")
    second = await store.put("k", b"2", if_match=first)
    with pytest.raises(PreconditionFailed, match="k"):
        await store.put("k", b"3", if_match=first)
    with pytest.raises(PreconditionFailed):
        await store.put("k", b"3", if_match=OTHER)
    assert (await get(store, "k")).etag == second


async def test_a_replace_of_a_missing_object_fails(store: Store) -> None:
    with pytest.raises(PreconditionFailed):
        await store.put("nope", b"1", if_match=OTHER)
    with pytest.raises(NotFound):
        await store.get("nope")


async def test_eight_concurrent_writers_lose_no_increment(store: Store) -> None:
    await store.put("n", b"0")

    async def count(times: int) -> None:
        done = 0
        while done < times:
            answer = await get(store, "n")
            try:
                await store.put("n", b"%d" % (int(answer.body) + 1), if_match=answer.etag)
                done += 1
            except (PreconditionFailed, Conflict):
                continue

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(count, 5)
    assert (await get(store, "n")).body == b"40"


async def test_a_conditional_delete_needs_the_current_etag(store: Store) -> None:
    stale = await store.put("k", b"1")
    current = await store.put("k", b"2")
    with pytest.raises(PreconditionFailed):
        await store.delete("k", if_match=stale)
    assert (await get(store, "k")).etag == current
    await store.delete("k", if_match=current)
    with pytest.raises(NotFound):
        await store.get("k")


async def test_a_conditional_delete_of_a_missing_object_fails(store: Store) -> None:
    etag = await store.put("k", b"1")
    await store.delete("k")
    with pytest.raises(PreconditionFailed):
        await store.delete("k", if_match=etag)


async def test_a_delete_of_a_missing_object_is_done_already(store: Store) -> None:
    await store.delete("never/was")
    await store.put("k", b"1")
    await store.delete("k")
    await store.delete("k")


async def test_a_deleted_key_can_be_created_again(store: Store) -> None:
    await store.put("d/k", b"1", if_absent=True)
    await store.delete("d/k")
    await store.put("d/k", b"2", if_absent=True)
    assert (await get(store, "d/k")).body == b"2"


# listings


async def test_an_empty_project_lists_nothing(store: Store) -> None:
    assert await listed(store, "") == []
    assert await store.list_dir("") == ([], [])
    assert not await store.any_under("")


async def test_a_listing_has_just_the_keys_under_its_prefix(store: Store) -> None:
    await fill(store, ["a/1", "a/2", "ab/1", "b"])
    assert [entry.key for entry in await listed(store, "a/")] == ["a/1", "a/2"]
    assert [entry.key for entry in await listed(store, "a")] == ["a/1", "a/2", "ab/1"]
    assert [entry.key for entry in await listed(store, "a/2")] == ["a/2"]
    assert await listed(store, "c") == []
    assert await listed(store, "b/") == []


async def test_a_directory_is_listed_in_pages_in_the_order_of_keys(store: Store) -> None:
    keys = [f"m/{number:05d}.json" for number in range(2100)]
    await fill(store, keys)
    pages = [page async for page in store.list("m/")]
    assert [entry.key for page in pages for entry in page] == keys
    assert [len(page) for page in pages] == [1000, 1000, 100]
    assert [entry.key for entry in await listed(store, "m/", keys[1499])] == keys[1500:]
    _, entries = await store.list_dir("m/")
    assert sorted(entry.key for entry in entries) == keys
    assert await store.any_under("m/")
    assert await store.any_under("m/")  # which takes another way the second time


async def test_names_come_in_the_order_of_their_bytes(store: Store) -> None:
    keys = ["o/B", "o/a", "o/b", "o/é", "o/日", "o/😀"]
    await fill(store, keys)
    assert [entry.key for entry in await listed(store, "o/")] == keys


async def test_start_after_need_not_be_a_key(store: Store) -> None:
    await fill(store, ["d/1", "d/3", "d/5"])
    assert [e.key for e in await listed(store, "d/", "d/3")] == ["d/5"]
    assert [e.key for e in await listed(store, "d/", "d/2")] == ["d/3", "d/5"]
    assert [e.key for e in await listed(store, "d/", "d/")] == ["d/1", "d/3", "d/5"]
    assert await listed(store, "d/", "d/5") == []
    assert await listed(store, "d/", "e") == []


async def test_list_dir_shows_one_level(store: Store) -> None:
    await fill(store, ["top", "a/1", "a/b/2", "a/b/c/3", "z/9"])
    names, entries = await store.list_dir("")
    assert (sorted(names), [entry.key for entry in entries]) == (["a", "z"], ["top"])
    names, entries = await store.list_dir("a/")
    assert (list(names), [entry.key for entry in entries]) == (["b"], ["a/1"])
    assert await store.list_dir("nope/") == ([], [])


async def test_a_directory_is_there_as_long_as_something_is_in_it(store: Store) -> None:
    await store.put("a/b/c", b"1")
    assert await store.any_under("a/")
    assert await store.any_under("a/b/")
    assert await store.any_under("a/b/c")
    assert not await store.any_under("a/c")
    await store.delete("a/b/c")
    assert not await store.any_under("a/")
    await store.put("a", b"now an object")
    assert [entry.key for entry in await listed(store, "")] == ["a"]


async def test_an_empty_object_is_listed_as_what_it_is(store: Store) -> None:
    await fill(store, ["d/full"])
    etag = await store.put("d/empty", b"")
    entries = {entry.key: entry for entry in await listed(store, "d/")}
    assert set(entries) == {"d/empty", "d/full"}
    assert (entries["d/empty"].size, entries["d/empty"].etag) == (0, etag)
    assert len((await store.list_dir("d/"))[1]) == 2


# names


@pytest.mark.parametrize("key", ODD)
async def test_odd_names_are_names_like_others(store: Store, key: str) -> None:
    full = f"odd/{key}"
    etag = await store.put(full, b"x", if_absent=True)
    with pytest.raises(AlreadyExists):
        await store.put(full, b"y", if_absent=True)
    etag = await store.put(full, b"z", if_match=etag)
    assert (await get(store, full)).body == b"z"
    assert [entry.key for entry in await listed(store, "odd/")] == [full]
    assert (await store.head(full)).etag == etag
    await store.delete(full, if_match=etag)
    assert not await store.any_under("odd/")


@pytest.mark.parametrize("key", ["", "x" * 2000, "half a surrogate pair \ud800"])
async def test_a_key_nothing_can_hold_is_refused_by_name(store: Store, key: str) -> None:
    with pytest.raises(InvalidKey):
        await store.put(key, b"x")
    with pytest.raises(InvalidKey):
        await store.get(key)
    with pytest.raises(InvalidKey):
        await store.delete(key)


# large objects


async def test_an_upload_of_many_parts_is_one_object(store: Store) -> None:
    sent = bytearray()

    async def parts() -> AsyncIterator[bytes]:
        for number in range(9):
            part = bytes([number]) * (1 << 20) + b"odd length"
            sent.extend(part)
            yield part

    etag = await store.upload("big.bin", parts())
    assert (await store.head("big.bin")).etag == etag
    assert (await store.head("big.bin")).size == len(sent)
    answer = await get(store, "big.bin")
    assert answer.etag == etag
    assert answer.body == sent
    assert (await store.get_range("big.bin", len(sent) - 3, 99)).body == sent[-3:]
    assert isinstance(await store.get("big.bin", if_none_match=etag), NotModified)
    await store.put("big.bin", b"small", if_match=etag)


@pytest.mark.parametrize("size", [0, 10, 3 << 20])
async def test_a_small_upload_is_as_a_put(store: Store, size: int) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for offset in range(0, size, 100_000):
            yield b"x" * min(100_000, size - offset)

    etag = await store.upload("up.json", parts())
    answer = await get(store, "up.json")
    assert (len(answer.body), answer.etag) == (size, etag)


async def test_an_upload_whose_source_fails_leaves_the_old_object(store: Store) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"new" * (5 << 20)
        raise OSError("the source is gone")

    await store.put("k", b"old")
    with pytest.raises(OSError, match="source"):
        await store.upload("k", parts())
    assert (await get(store, "k")).body == b"old"
    assert [entry.key for entry in await listed(store, "")] == ["k"]


async def test_two_large_objects_of_the_same_bytes_can_be_told_from_their_replacement(
    store: Store,
) -> None:
    first = await store.put("k", b"1" * (2 << 20))
    second = await store.put("k", b"2" * (2 << 20), if_match=first)
    with pytest.raises(PreconditionFailed):
        await store.put("k", b"3", if_match=first)
    assert (await store.head("k")).etag == second


async def test_the_url_names_the_store(store: Store) -> None:
    assert store.url.startswith(("file:///", "s3://bucket/"))
    with within(5):
        await store.aclose()


@pytest.mark.parametrize("size", [10, 3 << 20, 9 << 20])
async def test_an_upload_under_a_condition_obeys_it(store: Store, size: int) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for offset in range(0, size, 1 << 20):
            yield b"x" * min(1 << 20, size - offset)

    first = await store.upload("k", parts(), if_absent=True)
    with pytest.raises(AlreadyExists):
        await store.upload("k", parts(), if_absent=True)
    second = await store.put("k", b"in between", if_match=first)
    with pytest.raises(PreconditionFailed):
        await store.upload("k", parts(), if_match=first)
    assert (await get(store, "k")).body == b"in between"
    await store.upload("k", parts(), if_match=second)
    assert (await store.head("k")).size == size
    with pytest.raises(PreconditionFailed):
        await store.upload("gone", parts(), if_match=first)


@pytest.mark.parametrize("size", [0, 10, 9 << 20])
async def test_a_copy_is_another_object_with_the_same_bytes(store: Store, size: int) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield bytes(size)

    await store.upload("a/source ü?.bin", parts())
    await store.put("b/target", b"old")
    etag = await store.copy("a/source ü?.bin", "b/target")
    answer = await get(store, "b/target")
    assert (answer.etag, answer.body) == (etag, bytes(size))
    await store.delete("a/source ü?.bin")
    assert (await store.head("b/target")).size == size


async def test_a_copy_of_nothing_is_not_found_and_leaves_what_is_there(store: Store) -> None:
    await store.put("k", b"old")
    with pytest.raises(NotFound):
        await store.copy("nothing", "k")
    assert (await get(store, "k")).body == b"old"


async def test_a_range_tells_the_size_of_the_whole(store: Store) -> None:
    await store.put("k", b"0123456789")
    for offset, length in ((0, 3), (8, 99), (10, 5), (0, 0)):
        assert (await store.get_range("k", offset, length)).size == 10


async def test_object_too_large_to_be_a_document_is_not_got_whole(store: Store) -> None:
    body = bytes(MAX_WHOLE + 1)
    await store.upload("large", _parts(body))
    with pytest.raises(Oversized, match=r"\.tcfs/raw"):
        await store.get("large")
    assert (await store.get_range("large", MAX_WHOLE, 8)).body == b"\0"


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 20):
        yield body[start : start + (1 << 20)]


# the store's clock


async def test_the_store_s_clock_bounds_the_time_that_objects_bear(store: Store) -> None:
    """Whatever a put's answer, or a question of its own, tells of the clock holds for objects."""
    before = await store.clock()
    assert before is not None
    sent = boottime()
    dated = await store.put_dated("agents/a.json", b"{}")
    received = boottime()
    assert dated.offset is not None
    shown = (await get(store, "agents/a.json")).modified
    for offset in (before, dated.offset):
        assert offset.low <= offset.high
        # A store may tell whole seconds only, and then tells the past one.
        assert sent + offset.low - SECOND <= shown <= received + offset.high
    assert (await get(store, "agents/a.json")).etag == dated.etag


async def test_a_dated_put_obeys_its_condition(store: Store) -> None:
    dated = await store.put_dated("k", b"one")
    again = await store.put_dated("k", b"two", if_match=dated.etag)
    with pytest.raises((PreconditionFailed, Conflict)):
        await store.put_dated("k", b"three", if_match=dated.etag)
    found = await get(store, "k")
    assert (found.body, found.etag) == (b"two", again.etag)


async def test_what_an_observer_is_told(store: Store) -> None:
    """Each request once, what it changed, and nothing of what failed."""
    told = Told()
    observed = Observed(store, told)
    etag = await observed.put("d/a", b"1")
    with pytest.raises((AlreadyExists, Conflict)):
        await observed.put("d/a", b"2", if_absent=True)
    await observed.copy("d/a", "d/b")
    assert [it.key async for page in observed.list("d/") for it in page] == ["d/a", "d/b"]
    await observed.delete("d/b")
    with pytest.raises(NotFound):
        await observed.get("d/b")
    dated = await observed.put_dated("d/c", b"3")
    copied = told.changes[1][1]
    assert copied is not None
    expected = [("d/a", etag), ("d/b", copied), ("d/b", None), ("d/c", dated.etag)]
    assert told.changes == expected
    assert told.requests == ["PUT", "PUT!", "COPY", "LIST", "DELETE", "GET!", "PUT"]


class Told:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.changes: list[tuple[str, ETag | None]] = []

    def asked(self, verb: str, seconds: float, error: Exception | None) -> None:
        assert seconds >= 0
        self.requests.append(verb if error is None else f"{verb}!")

    def changed(self, key: str, etag: ETag | None) -> None:
        self.changes.append((key, etag))
