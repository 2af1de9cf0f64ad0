"""The local directory: ETags, keys and their order, and whatever else may lie in it."""

import errno
import os
import time
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tcfs.stores import (
    Denied,
    InvalidKey,
    NotFound,
    NotModified,
    PreconditionFailed,
)
from tcfs.stores.file import FileStore
from tests.stores.looking import body, keys

LARGE = (1 << 20) + 1


def untouched(root: Path) -> bool:
    return not root.exists()


def litter(root: Path) -> None:
    """Put beside an object what is none."""
    (root / "d" / "link").symlink_to("/etc/passwd")
    (root / "loop").symlink_to(".")
    os.mkfifo(root / "d" / "fifo")
    Path(os.fsdecode(os.fsencode(root / "d") + b"/\xff\xfe")).write_bytes(b"not UTF-8")


# ETags


async def test_a_small_object_is_identified_by_its_content(local: FileStore, root: Path) -> None:
    first = await local.put("a", b"same" * 100)
    assert await local.put("b", b"same" * 100) == first
    (root / "a").write_bytes(b"other")  # somebody with an editor
    assert (await local.head("a")).etag != first
    with pytest.raises(PreconditionFailed):
        await local.put("a", b"mine", if_match=first)


@pytest.mark.parametrize("size", [LARGE - 1, LARGE])
async def test_the_limit_of_hashing_is_1_mib(local: FileStore, size: int) -> None:
    first = await local.put("a", b"x" * size)
    again = await local.put("a", b"x" * size)
    assert (first == again) is (size < LARGE)
    assert (await local.head("a")).etag == again


async def test_without_extended_attributes_a_large_object_is_known_by_inode_and_time(
    local: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    monkeypatch.setattr(os, "getxattr", refuse)
    first = await local.put("a", b"1" * LARGE)
    assert isinstance(await local.get("a", if_none_match=first), NotModified)
    second = await local.put("a", b"2" * LARGE, if_match=first)
    assert second != first
    assert (await local.head("a")).etag == second


async def test_a_remembered_hash_is_not_believed_of_a_changed_file(
    local: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await local.put("a", b"one")
    real = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: real() + 10**10)  # settled, and so remembered
        assert (await local.head("a")).etag == first
    path = root / "a"
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # one tick of the kernel
        path.write_bytes(b"two")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert (await local.head("a")).etag != first


async def test_a_file_changed_within_the_same_tick_is_never_mistaken(
    local: FileStore, root: Path
) -> None:
    for number in range(300):
        etag = await local.put("a", b"%03d" % number)
        assert (await local.head("a")).etag == etag
        (root / "a").write_bytes(b"%03d" % (number + 500))
        assert (await local.head("a")).etag != etag


# keys and order


@pytest.mark.parametrize(
    "key",
    [
        *("", "/", "a/", "/a", "a//b", ".", "..", "a/./b", "a/../b", "../escape"),
        *("nul\0", "x" * 256, "é" * 128, "d/" * 600 + "k", ".tcfs-tmp/x", ".tcfs-tmp"),
    ],
)
async def test_a_key_that_is_no_path_is_refused(local: FileStore, root: Path, key: str) -> None:
    for attempt in (
        partial(local.put, key, b"x"),
        partial(local.put, key, b"x", if_absent=True),
        partial(local.get, key),
        partial(local.head, key),
        partial(local.delete, key),
    ):
        with pytest.raises(InvalidKey):
            await attempt()
    assert untouched(root)


async def test_a_key_may_not_be_a_prefix_of_another(local: FileStore) -> None:
    await local.put("a/b", b"1")
    for if_absent in (True, False):
        with pytest.raises(InvalidKey, match="other keys begin"):
            await local.put("a", b"2", if_absent=if_absent)
        with pytest.raises(InvalidKey, match="an object itself"):
            await local.put("a/b/c", b"3", if_absent=if_absent)
    for missing in ("a", "a/b/c"):
        with pytest.raises(NotFound):
            await local.get(missing)
        await local.delete(missing)
    assert await body(local, "a/b") == b"1"


async def test_names_of_255_bytes_fit(local: FileStore) -> None:
    key = "/".join(["x" * 255] * 4)
    await local.put(key, b"1", if_absent=True)
    assert await keys(local) == [key]


async def test_what_is_no_object_is_not_listed_and_does_not_block(
    local: FileStore, root: Path
) -> None:
    await local.put("d/real", b"1")
    litter(root)
    assert await keys(local) == ["d/real"]
    assert [entry.key for entry in (await local.list_dir("d/"))[1]] == ["d/real"]
    with trio.fail_after(2), pytest.raises(NotFound):
        await local.get("d/fifo")
    with pytest.raises(InvalidKey, match="symbolic link"):
        await local.get("d/link")


@pytest.mark.parametrize(
    "prefix", ["/", "../", "a/../", "./", "a//", ".tcfs-tmp/", "\0/", "\ud800"]
)
async def test_a_prefix_that_no_key_has_leads_nowhere(local: FileStore, prefix: str) -> None:
    await local.put("a/b", b"1")
    assert await keys(local, prefix) == []
    assert await local.list_dir(prefix) == ([], [])
    assert not await local.any_under(prefix)


NAMES = st.text(st.sampled_from("a-./0é~"), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(names=st.sets(NAMES, max_size=12), after=NAMES, prefix=st.text("a-./", max_size=3))
def test_listings_are_in_the_order_of_keys_wherever_they_begin(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], after: str, prefix: str
) -> None:
    async def run() -> None:
        store = FileStore(tmp_path_factory.mktemp("order"))
        stored = []
        for name in sorted(names):
            try:
                await store.put(name, b"")
                stored.append(name)
            except InvalidKey:
                continue  # a prefix of another, or no path
        order = sorted(stored, key=str.encode)
        assert await keys(store) == order
        for begin in (prefix, ""):
            expected = [key for key in order if key.startswith(begin)]
            assert await keys(store, begin) == expected
            assert await store.any_under(begin) is bool(expected)
            rest = [key for key in expected if key.encode() > after.encode()]
            assert await keys(store, begin, after) == rest

    trio.run(run)


async def test_a_listing_under_way_passes_over_what_is_deleted(
    local: FileStore, root: Path
) -> None:
    for number in range(3):
        await local.put(f"d/{number}", b"x")
    (root / "d" / "1").unlink()
    assert await keys(local) == ["d/0", "d/2"]


# addresses


async def test_nothing_is_made_before_the_first_write(local: FileStore, root: Path) -> None:
    assert not await local.any_under("")
    with pytest.raises(NotFound):
        await local.get("k")
    await local.delete("k")
    assert untouched(root)


async def test_a_root_that_is_a_file_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FileStore(tmp_path / "file")
    assert store.url == (tmp_path / "file").as_uri()
    with pytest.raises((InvalidKey, Denied)):
        await store.put("k", b"1")
