"""The local directory: crashes, full disks, and other processes."""

import ast
import errno
import fcntl
import multiprocessing
import os
import zlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tcfs.stores import (
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreFull,
    Unavailable,
    file,
)
from tcfs.stores.deadline import within
from tcfs.stores.file import FileStore
from tests.stores import contenders, crashing, power
from tests.stores.looking import body, keys

LARGE = (1 << 20) + 1


def temporaries(root: Path) -> list[Path]:
    return sorted((root / ".tcfs-tmp").glob("new-*"))


# several processes


def test_of_several_processes_one_creates_a_key(local: FileStore, root: Path) -> None:
    names = ["a", "b", "c", "d"]
    won = contenders.together([partial(contenders.create_all, root, name) for name in names])
    assert sorted(key for some in won for key in some) == sorted(contenders.KEYS)
    for name, some in zip(names, won, strict=True):
        for key in some:
            assert (root / key).read_text() == name
    assert temporaries(root) == []


def test_several_processes_lose_no_increment(local: FileStore, root: Path) -> None:
    trio.run(partial(local.put, "n", b"0"))
    contenders.together([partial(contenders.increment, root, 25)] * 4)
    assert (root / "n").read_text() == "100"


def test_directories_pruned_by_one_process_are_made_again_by_another(
    local: FileStore, root: Path
) -> None:
    names = ["1", "2", "3", "4"]
    work = [partial(contenders.come_and_go, root, name, 60) for name in names]
    assert contenders.together(work) == [60] * 4
    assert [path.name for path in root.iterdir()] == [".tcfs-tmp"]
    assert temporaries(root) == []


# crashes


@pytest.mark.parametrize("begin", [0, 1])
def test_a_process_may_die_at_each_call_to_the_file_system(tmp_path: Path, begin: int) -> None:
    """By `kill -9`: there is the old object or the new one, and what was told is there."""
    names = list(crashing.OPERATIONS)
    some = names[begin::4], names[begin + 2 :: 4]
    for each in some:
        (tmp_path / each[0]).mkdir()
    work = [partial(crashing.die_everywhere, tmp_path / each[0], each) for each in some]
    first, second = contenders.together(work)
    calls = first | second
    assert len(calls) >= len(names) // 2
    assert {"mkdir", "open", "flock", "write", "fsync", "link", "unlink"} <= {
        it for name in calls for it in calls[name]
    }
    for name in calls.keys() & {"put over", "replace", "upload"}:
        assert calls[name].count("fsync") >= 3, "the content, and the directories above it"


@pytest.mark.parametrize("name", crashing.OPERATIONS)
async def test_the_power_may_fail_at_each_call_to_the_file_system(
    tmp_path: Path, name: str
) -> None:
    """Whatever a failure keeps of what was not made durable: an object is old or new and whole,
    and new once that was told; no other object goes with it."""
    operation = crashing.OPERATIONS[name]
    root = tmp_path / "base" / "project"
    root.parent.mkdir()
    await crashing.prepare(root, operation)
    disk = power.Disk.of(tmp_path)

    def look(allowed: set[bytes | None], when: str) -> None:
        for names in disk.failures():
            body = disk.read(names, root / crashing.KEY)
            assert body in allowed, f"{when}: {body and body[:60]!r}; since {disk.since}"
            if operation.other:
                assert disk.read(names, root / crashing.OTHER) == b"other", when

    def after(name: str, arguments: tuple[Any, ...], how: dict[str, Any]) -> None:
        disk.after(name, arguments, how)
        look({operation.before, operation.after}, f"at {name}{arguments}")

    with crashing.spying(tmp_path, lambda *_: None, after):
        await operation.act(FileStore(root))
    look({operation.after}, "when it was told")


def test_every_call_that_the_store_makes_is_spied_on() -> None:
    """What it uses of `os` and `fcntl`, by its source."""
    known = {*crashing.CALLS, *crashing.WITHIN, *crashing.PURE, "flock"}
    for path in sorted(Path(file.__file__).parent.glob("*file*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module, name = node.value.id, node.attr
                if module in ("os", "fcntl") and not name.isupper() and not name.startswith("O_"):
                    assert name in known, f"{path.name} calls {module}.{name}"


def test_a_killed_writer_leaves_old_or_new_and_at_most_one_temporary(
    local: FileStore, root: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    for _ in range(3):
        started = context.Event()
        process = context.Process(target=contenders.overwrite_for_ever, args=(root, started))
        process.start()
        assert started.wait(30)
        process.kill()
        process.join()
        process.close()
        for path in [root / "k", *(root / "new").iterdir()]:
            data = path.read_bytes()
            assert len(data) == 50_000
            assert len(set(data)) == 1
    assert len(temporaries(root)) <= 3


async def test_old_temporaries_are_swept_by_the_next_start(local: FileStore, root: Path) -> None:
    await local.put("k", b"1")
    old, fresh, held = (root / ".tcfs-tmp" / f"new-{name}" for name in ("old", "fresh", "held"))
    for path in (old, fresh, held):
        path.write_bytes(b"half")
    for path in (old, held):
        os.utime(path, (0, 0))
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a slow upload does
        await FileStore(root).put("other", b"2")
    assert temporaries(root) == [fresh, held]


async def test_a_temporary_that_was_linked_already_is_swept_without_its_object(
    local: FileStore, root: Path
) -> None:
    await local.put("k", b"1")
    leftover = root / ".tcfs-tmp" / "new-linked"
    leftover.hardlink_to(root / "k")
    os.utime(leftover, (0, 0))
    await FileStore(root).put("other", b"2")
    assert temporaries(root) == []
    assert await body(local, "k") == b"1"


async def test_empty_directories_of_a_crash_are_not_there(local: FileStore, root: Path) -> None:
    (root / "left" / "over").mkdir(parents=True)
    assert await local.list_dir("") == ([], [])
    assert not await local.any_under("left/")
    assert await keys(local) == []
    with pytest.raises(NotFound):
        await local.get("left")
    await local.delete("left")
    await local.put("left", b"1", if_absent=True)
    (root / "again" / "over").mkdir(parents=True)
    await local.put("again", b"2")
    assert await keys(local) == ["again", "left"]


def opened(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}").readlink()


def record(monkeypatch: pytest.MonkeyPatch, calls: list[tuple[str, str]], names: list[str]) -> None:
    """Note the calls of functions of `os`, with the last name of the path they are about."""

    def noting(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: Any, **how: Any) -> object:
            about = arguments[-1]
            path = opened(about) if isinstance(about, int) else Path(os.fsdecode(about))
            calls.append((name, path.name.partition("-")[0]))
            return real(*arguments, **how)

        return call

    for name in names:
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))


async def test_content_is_durable_before_its_name_and_the_name_before_the_answer(
    local: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await local.put("d/other", b"")
    calls: list[tuple[str, str]] = []
    record(monkeypatch, calls, ["fsync", "link", "rename", "unlink"])
    etag = await local.put("d/k", b"1", if_absent=True)
    above = [("fsync", "d"), ("fsync", "project")]
    away = ("unlink", "new")  # of the temporary's name
    # When the temporary name goes does not matter: one that is left is swept.
    assert [call for call in calls if call != away] == [("fsync", "new"), ("link", "k"), *above]
    assert calls.count(away) == 1
    for condition in ({"if_match": etag}, {}):
        calls.clear()
        await local.put("d/k", b"2", **condition)
        assert [call for call in calls if call != away] == [
            ("fsync", "new"),
            ("rename", "k"),
            *above,
        ]
    calls.clear()
    await local.delete("d/k")
    assert calls == [("unlink", "k"), *above]
    calls.clear()
    await local.delete("d/other")
    assert calls == [("unlink", "other"), ("fsync", "project")]  # d is pruned


async def test_what_lost_already_writes_nothing(
    local: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = await local.put("k", b"1")
    await local.put("k", b"2")
    calls: list[tuple[str, str]] = []
    record(monkeypatch, calls, ["fsync"])
    for attempt in (
        partial(local.put, "k", b"3", if_match=etag),
        partial(local.delete, "k", if_match=etag),
    ):
        with pytest.raises(PreconditionFailed):
            await attempt()
    assert calls == []


async def test_a_name_that_may_not_be_durable_is_an_unknown_outcome(
    local: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await local.put("k", b"1")
    real = os.fsync

    def fsync(fd: int) -> None:
        if opened(fd).name == "project":
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutcomeUnknown, match="fsync failed"):
        await local.put("k", b"2")


async def test_a_full_disk_leaves_the_old_object_and_no_temporary(
    local: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await local.put("k", b"old")

    def write(fd: int, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(StoreFull, match="no space"):
            await local.put("k", b"new")
    assert await body(local, "k") == b"old"
    assert temporaries(root) == []


async def test_a_cancelled_upload_leaves_no_temporary(local: FileStore, root: Path) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * LARGE
        scope.cancel()
        await trio.lowlevel.checkpoint()

    with trio.CancelScope() as scope:
        await local.upload("k", parts())
    assert scope.cancelled_caught
    assert temporaries(root) == []
    assert await keys(local) == []


async def test_a_lock_that_another_process_keeps_ends_at_the_deadline(
    local: FileStore, root: Path
) -> None:
    etag = await local.put("k", b"1")
    stripe = zlib.crc32(b"k") % 64
    with (root / ".tcfs-tmp" / f"lock-{stripe:02x}").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for attempt in (
            partial(local.put, "k", b"2"),
            partial(local.put, "k", b"2", if_match=etag),
            partial(local.delete, "k"),
        ):
            with within(0.1), trio.fail_after(2):
                with pytest.raises(Unavailable, match="locked") as caught:
                    await attempt()
                assert not isinstance(caught.value, OutcomeUnknown)
        assert await body(local, "k") == b"1"  # readers and creates need no lock
        await local.put("new", b"1", if_absent=True)
