"""Operations of a store in a directory, with every call to the file system that they make.

`spying` lets somebody come before and after each call; `die_everywhere` has processes killed at
them. Nothing here looks at what the store's modules are made of.
"""

import fcntl
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol, final

import trio

from tcfs.stores import AlreadyExists, Object, PreconditionFailed, StoreError
from tcfs.stores._file_etag import HASHED
from tcfs.stores.file import FileStore

CALLS: Final = (
    *("open", "close", "write", "pread", "sendfile", "fsync", "fstat", "stat", "lstat"),
    *("link", "rename", "unlink", "mkdir", "rmdir", "scandir", "listdir"),
    *("getxattr", "setxattr"),
)
"""What is spied on of `os`, and `fcntl.flock`."""
CHANGES: Final = (
    *("write", "sendfile", "fsync", "link", "rename", "unlink", "mkdir", "rmdir", "setxattr"),
    "flock",
)
"""Those that change something, always; `open` may."""
PURE: Final = ("fsencode", "fsdecode", "urandom", "path", "stat_result", "DirEntry", "getpid")
"""What else the store may use of `os`: it asks nothing of a file system."""
WITHIN: Final = ("makedirs", "fwalk", "walk")
"""What of `os` is made of the others."""

KEY: Final = "d/e/k"
OTHER: Final = "d/other"
OLD: Final = b"old" * 100
NEW: Final = b"new" * 100
LARGE: Final = b"large" * (HASHED // 4)

Act = Callable[[FileStore], Awaitable[object]]


@final
@dataclass(frozen=True, slots=True)
class Operation:
    """An act on `KEY`: what it holds `before` and `after` it."""

    act: Act
    before: bytes | None
    after: bytes | None
    other: bool = True  # there is another object, which keeps the directory `d`
    empty: bool = False  # there are directories in its place, as a crash leaves them
    stale: bool = False  # there is a temporary that a crash left


async def _etag(store: FileStore) -> Any:
    found = await store.get(KEY)
    assert isinstance(found, Object)
    return found.etag


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), HASHED):
        yield body[begin : begin + HASHED]


async def _create(store: FileStore) -> None:
    with suppress(AlreadyExists):
        await store.put(KEY, NEW, if_absent=True)


async def _put(store: FileStore) -> None:
    await store.put(KEY, NEW)


async def _replace(store: FileStore) -> None:
    await store.put(KEY, NEW, if_match=await _etag(store))


async def _lose(store: FileStore) -> None:
    with suppress(PreconditionFailed):
        await store.put(KEY, NEW, if_match=(await store.head(OTHER)).etag)


async def _delete(store: FileStore) -> None:
    await store.delete(KEY)


async def _delete_unchanged(store: FileStore) -> None:
    await store.delete(KEY, if_match=await _etag(store))


async def _upload(store: FileStore) -> None:
    await store.upload(KEY, _parts(NEW))


async def _upload_large(store: FileStore) -> None:
    await store.upload(KEY, _parts(LARGE))


async def _upload_new(store: FileStore) -> None:
    await store.upload(KEY, _parts(LARGE), if_absent=True)


async def _upload_unchanged(store: FileStore) -> None:
    await store.upload(KEY, _parts(LARGE), if_match=await _etag(store))


async def _copy(store: FileStore) -> None:
    await store.copy(OTHER, KEY)


OPERATIONS: Final[dict[str, Operation]] = {
    "the first of all": Operation(_create, None, NEW, other=False),
    "create": Operation(_create, None, NEW),
    "create what is there": Operation(_create, OLD, OLD),
    "create where directories are": Operation(_create, None, NEW, empty=True),
    "put": Operation(_put, None, NEW),
    "put over": Operation(_put, OLD, NEW),
    "put where directories are": Operation(_put, None, NEW, empty=True),
    "put and sweep": Operation(_put, OLD, NEW, stale=True),
    "replace": Operation(_replace, OLD, NEW),
    "replace what changed": Operation(_lose, OLD, OLD),
    "delete": Operation(_delete, OLD, None),
    "delete the last": Operation(_delete, OLD, None, other=False),
    "delete if unchanged": Operation(_delete_unchanged, OLD, None),
    "delete what is not there": Operation(_delete, None, None),
    "upload": Operation(_upload, OLD, NEW),
    "upload much": Operation(_upload_large, None, LARGE),
    "upload much over": Operation(_upload_large, OLD, LARGE),
    "upload much if absent": Operation(_upload_new, None, LARGE),
    "upload much if unchanged": Operation(_upload_unchanged, OLD, LARGE),
    "copy": Operation(_copy, None, b"other"),
    "copy over": Operation(_copy, OLD, b"other"),
}


async def prepare(root: Path, operation: Operation) -> None:
    """Make what is there before."""
    store = FileStore(root)
    if operation.other:
        await store.put(OTHER, b"other")
    if operation.before is not None:
        await store.put(KEY, operation.before)
    if operation.empty:
        (root / KEY / "left" / "over").mkdir(parents=True)
    if operation.stale:
        leftover = root / ".tcfs-tmp" / "new-stale"
        leftover.write_bytes(b"half")
        os.utime(leftover, (0, 0))


class Spy(Protocol):
    """Comes before a call, or after it, with what it returned."""

    def __call__(self, name: str, arguments: tuple[Any, ...], how: dict[str, Any]) -> None: ...


@contextmanager
def spying(base: Path, before: Spy, after: Spy) -> Iterator[None]:
    """Let somebody come before and after every call that is about what is below `base`."""
    real = {name: getattr(os, name) for name in CALLS}
    flock = fcntl.flock
    spies = threading.local()  # what they themselves call is not spied on

    def spied(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **how: Any) -> Any:
            # Before: a close takes away what tells.
            if getattr(spies, "there", False) or not _below(base, arguments, how):
                return call(*arguments, **how)
            with _there(spies):
                before(name, arguments, how)
            result = call(*arguments, **how)
            with _there(spies):
                after(name, arguments, how | {"returned": result})
            return result

        return instead

    for name, call in real.items():
        setattr(os, name, spied(name, call))
    fcntl.flock = spied("flock", flock)  # type: ignore[assignment]
    try:
        yield
    finally:
        for name, call in real.items():
            setattr(os, name, call)
        fcntl.flock = flock


@contextmanager
def _there(spies: threading.local) -> Iterator[None]:
    spies.there = True
    yield
    spies.there = False


def place(path: Any, directory: int | None = None) -> Path:
    """Return where a path or a descriptor that was given to a call leads, links unfollowed."""
    if isinstance(path, int):
        return Path(os.readlink(f"/proc/self/fd/{path}"))  # noqa: PTH115
    text = os.fsdecode(path)
    return Path(text) if directory is None else place(directory) / text


def _below(base: Path, arguments: tuple[Any, ...], how: dict[str, Any]) -> bool:
    directory = how.get("dir_fd", how.get("src_dir_fd"))
    try:
        return place(arguments[0], directory).is_relative_to(base)
    except OSError:
        return False  # a descriptor of no file


def die_everywhere(base: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Kill processes before each call of operations that changes something, and after the last.

    Between two such calls a file system stays as it is, so that is at every call. Returns the
    calls by operation. Raises AssertionError for what is not as it was, nor as it should be.
    """
    return {name: _die_everywhere(base, name) for name in names}


def _die_everywhere(base: Path, name: str) -> list[str]:
    operation = OPERATIONS[name]
    for number in count():
        where = base / f"{name} {number}"
        where.mkdir()
        killed = _in_child(partial(_die, where, operation, number))
        calls = (where / "calls").read_text().split()
        told = f"{name}: killed before {calls[-1]}, after {calls[:-1]}" if killed else name
        _check(where / "project", operation, told, acknowledged=not killed)
        assert not _in_child(partial(trio.run, _go_on, where / "project", operation)), told
        if not killed:
            assert len(calls) == number, f"{told}: killed at each of {calls}"
            return calls
    raise AssertionError


def _die(where: Path, operation: Operation, number: int) -> None:
    root = where / "project"
    trio.run(prepare, root, operation)
    with (where / "calls").open("w", buffering=1) as note:
        calls = 0

        def before(name: str, arguments: tuple[Any, ...], how: dict[str, Any]) -> None:
            nonlocal calls
            if not _changes(name, arguments):
                return
            note.write(f"{name}\n")
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1

        with spying(root, before, lambda *_: None):
            trio.run(operation.act, FileStore(root))


def _changes(name: str, arguments: tuple[Any, ...]) -> bool:
    return name in CHANGES or (name == "open" and bool(arguments[1] & os.O_CREAT))


def _check(root: Path, operation: Operation, told: str, *, acknowledged: bool) -> None:
    """See that the object is as before or as after, and that nothing else is changed."""
    path = root / KEY
    body = path.read_bytes() if path.is_file() else None
    allowed = (operation.after,) if acknowledged else (operation.before, operation.after)
    assert body in allowed, f"{told}: {body and body[:20]!r}"
    if operation.other:
        assert (root / OTHER).read_bytes() == b"other", told
    left = [it.name for it in (root / ".tcfs-tmp").glob("new-*") if it.name != "new-stale"]
    assert len(left) <= (0 if acknowledged else 1), f"{told}: {left}"
    objects = [it for it in root.rglob("*") if it.is_file() and ".tcfs-tmp" not in it.parts]
    assert {it.relative_to(root) for it in objects} <= {Path(KEY), Path(OTHER)}, told


async def _go_on(root: Path, operation: Operation) -> None:
    """Do as the next process does: nothing is in its way, and it sweeps what was left."""
    for leftover in (root / ".tcfs-tmp").glob("new-*"):
        os.utime(leftover, (0, 0))
    store = FileStore(root)
    with trio.fail_after(20):
        with suppress(StoreError):
            await store.put(KEY, b"again", if_absent=True)
        await store.put(KEY, b"again", if_match=await _etag(store))
        assert [key for page in [await store.list_dir("d/e/")] for key in page[1]]
        await store.delete(KEY, if_match=await _etag(store))
    assert not list((root / ".tcfs-tmp").glob("new-*"))
    assert (root / OTHER).exists() is operation.other


def _in_child(work: Callable[[], None]) -> bool:
    """Run in a child; tell whether it was killed. What it raises is an AssertionError here."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            os.write(write, repr(error).encode()[:4000])
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or status == 0, text
    return killed
