"""Objects as files below a directory, which several processes on this host may share.

A create links a complete, durable temporary file to the key's name; link(2) decides a race. A
replace or a delete compares and acts under a lock on the key. So after a crash at any point there
is the old object or the new one, and at most a temporary file, which a later start sweeps away.
"""

import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar, final

import trio

from tcfs.stores import _file_etag, _retry, _threads
from tcfs.stores._base import (
    Buffer,
    Capabilities,
    Dated,
    Entry,
    ETag,
    NotModified,
    Object,
    Offset,
    Range,
    boottime,
    check_whole,
)
from tcfs.stores._errors import AlreadyExists, NotFound, OutcomeUnknown, PreconditionFailed
from tcfs.stores._file_disk import Disk
from tcfs.stores._file_errors import translate
from tcfs.stores._file_keys import begun, encoded
from tcfs.stores._file_walk import Walk
from tcfs.stores._pages import Pages
from tcfs.stores.deadline import remaining

T = TypeVar("T")

PAGE: Final = 1000

CAPABILITIES: Final = Capabilities(
    create=True,
    replace=True,
    delete=True,
    conditional_get=True,
    shared=False,
    # What a kernel guarantees needs no probe.
    facts=(
        "create if absent: yes, link(2) lets one writer win",
        "replace if unchanged: yes, compared and renamed under a lock",
        "delete if unchanged: yes, compared and removed under a lock",
        "list after put: yes",
        "list from a key on: yes",
    ),
)


@final
class FileStore:
    """A project in a local directory: the keys are the paths below `root`.

    The directory is made by the first write. Nothing switches the fsyncs off.
    """

    def __init__(self, root: Path, *, capabilities: Capabilities = CAPABILITIES) -> None:
        """Name the directory; nothing is touched yet."""
        self.capabilities = capabilities
        self._url: Final = root.absolute().as_uri()
        self._disk: Final = Disk(os.fsencode(root.absolute()))
        self._walk: Final = Walk(self._disk)
        self._swept = False

    @property
    def url(self) -> str:
        """Where this is, as a user would write it."""
        return self._url

    @property
    def identity(self) -> str:
        """Which directory this is."""
        return self._url

    def secrets(self) -> Collection[str]:
        """Return nothing: a directory is reached without credentials."""
        return ()

    async def get(self, key: str, *, if_none_match: ETag | None = None) -> Object | NotModified:
        """Return an object's newest version, or NotModified; raises as `Store.get` does."""
        return await self._read(key, partial(self._get, encoded(key), if_none_match))

    async def get_range(self, key: str, offset: int, length: int) -> Range:
        """Return at most `length` bytes from `offset` on; raises as `Store.get_range` does."""
        return await self._read(key, partial(self._get_range, encoded(key), offset, length))

    async def head(self, key: str) -> Entry:
        """Return what a listing would show; raises as `Store.head` does."""
        entry = await self._read(key, partial(self._walk.entry, encoded(key)))
        if entry is None:
            raise NotFound(f"there is no object {key!r}")
        return entry

    async def put(
        self, key: str, body: Buffer, *, if_absent: bool = False, if_match: ETag | None = None
    ) -> ETag:
        """Store an object whole and return its ETag; raises as `Store.put` does."""
        path = encoded(key)
        if if_absent:
            return await self._write(key, partial(self._create, path, body))
        return await self._write(key, partial(self._replace, path, body, if_match, remaining()))

    async def put_dated(self, key: str, body: bytes, *, if_match: ETag | None = None) -> Dated:
        """Store an object and learn the time; raises as `Store.put_dated` does."""
        return Dated(await self.put(key, body, if_match=if_match), await self.clock())

    async def clock(self) -> Offset:
        """Return what this host's clock shows: files are dated by it, to the nanosecond."""
        before = boottime()
        now = time.time_ns()
        return Offset(now - boottime(), now - before)

    async def delete(self, key: str, *, if_match: ETag | None = None) -> None:
        """Remove an object; raises as `Store.delete` does."""
        await self._write(key, partial(self._delete, encoded(key), if_match, remaining()))

    def list(
        self, prefix: str, *, start_after: str | None = None
    ) -> AsyncIterator[Sequence[Entry]]:
        """Yield the objects under `prefix`, in pages; raises as `Store.list` does."""
        begin = begun(prefix)
        after = None if start_after is None else start_after.encode("utf-8", "surrogatepass")
        found = iter(()) if begin is None else self._walk.entries(begin, after)
        return Pages(partial(self._read, prefix, lambda: list(islice(found, PAGE))))

    async def list_dir(self, prefix: str) -> tuple[Sequence[str], Sequence[Entry]]:
        """Return one level below `prefix`; raises as `Store.list_dir` does."""
        begin = begun(prefix)
        if begin is None:
            return [], []
        return await self._read(prefix, partial(self._walk.level, begin))

    async def any_under(self, prefix: str) -> bool:
        """Tell whether at least one key begins with `prefix`."""
        begin = begun(prefix)
        return begin is not None and await self._read(prefix, partial(self._walk.any_under, begin))

    async def upload(
        self,
        key: str,
        parts: AsyncIterable[bytes],
        *,
        if_absent: bool = False,
        if_match: ETag | None = None,
    ) -> ETag:
        """Store an object of any size from its parts; raises as `Store.put` does."""
        path = encoded(key)
        temporary = self._disk.temporary()
        fd, name = await self._write(key, temporary.__enter__)
        try:
            async for part in parts:
                await self._write(key, partial(_write_all, fd, part))
            if if_absent:
                return await self._write(key, partial(self._keep_new, path, fd, name))
            keep = partial(self._keep, path, fd, name, if_match, remaining())
            return await self._write(key, keep)
        finally:
            with trio.CancelScope(shield=True):
                await _threads.completed(partial(temporary.__exit__, None, None, None))

    async def copy(self, source: str, target: str) -> ETag:
        """Store what `source` holds at `target` as well; raises as `Store.copy` does."""
        act = partial(self._copy, encoded(source), encoded(target), remaining())
        return await self._write(source, act)

    async def aclose(self) -> None:
        """Let go of nothing: no descriptor outlives its operation."""

    # What follows blocks, and runs in a worker thread.

    def _get(self, key: bytes, if_none_match: ETag | None) -> Object | NotModified:
        fd, found = self._disk.open_object(key)
        try:
            if found.st_size <= _file_etag.HASHED:
                body = _read_all(fd)
                etag = _file_etag.of_content(body)
                unchanged = etag == if_none_match
            else:
                etag = _file_etag.of_large(fd, found)
                unchanged = etag == if_none_match
                if not unchanged:
                    check_whole(key.decode(), found.st_size)
                body = b"" if unchanged else _read_all(fd)
        finally:
            os.close(fd)
        return NotModified() if unchanged else Object(body, etag, found.st_mtime_ns)

    def _get_range(self, key: bytes, offset: int, length: int) -> Range:
        fd, found = self._disk.open_object(key)
        try:
            etag = _file_etag.of_open(fd, found)
            body = _read_range(fd, offset, length)
        finally:
            os.close(fd)
        return Range(body, etag, found.st_mtime_ns, found.st_size)

    def _create(self, key: bytes, body: Buffer) -> ETag:
        if self._etag(key) is not None:  # lost already; save the fsync
            raise AlreadyExists(f"{key.decode()!r} exists already")
        self._sweep_once()
        with self._disk.temporary() as (fd, name):
            _write_all(fd, body)
            return self._keep_new(key, fd, name)

    def _keep_new(self, key: bytes, fd: int, name: bytes) -> ETag:
        etag = _seal(fd)
        try:
            self._disk.link(name, key)
        except FileExistsError:
            raise AlreadyExists(f"{key.decode()!r} exists already") from None
        self._settle(key)
        return etag

    def _copy(self, source: bytes, target: bytes, seconds: float) -> ETag:
        # An object is never changed, only replaced: what was opened is one version.
        fd, found = self._disk.open_object(source)
        try:
            self._sweep_once()
            with self._disk.temporary() as (new, name):
                _copy_all(fd, new, found.st_size)
                return self._keep(target, new, name, None, seconds)
        finally:
            os.close(fd)

    def _replace(self, key: bytes, body: Buffer, if_match: ETag | None, seconds: float) -> ETag:
        if if_match is not None:
            self._compare(key, if_match)  # lost already; save the fsync
        self._sweep_once()
        with self._disk.temporary() as (fd, name):
            _write_all(fd, body)
            return self._keep(key, fd, name, if_match, seconds)

    def _keep(
        self, key: bytes, fd: int, name: bytes, if_match: ETag | None, seconds: float
    ) -> ETag:
        etag = _seal(fd)
        with self._disk.lock(key, seconds):
            if if_match is not None:
                self._compare(key, if_match)
            self._disk.rename(name, key)
        self._settle(key)
        return etag

    def _delete(self, key: bytes, if_match: ETag | None, seconds: float) -> None:
        if if_match is not None:
            self._compare(key, if_match)
        elif self._etag(key) is None:
            return
        self._sweep_once()
        with self._disk.lock(key, seconds):
            if if_match is not None:
                self._compare(key, if_match)
            try:
                self._disk.remove(key)
            except FileNotFoundError:
                return
        self._settle(key)

    def _compare(self, key: bytes, expected: ETag) -> None:
        if self._etag(key) != expected:
            raise PreconditionFailed(f"{key.decode()!r} is not the version this was based on")

    def _etag(self, key: bytes) -> ETag | None:
        try:
            fd, found = self._disk.open_object(key)
        except FileNotFoundError:
            return None
        try:
            return _file_etag.of_open(fd, found)
        finally:
            os.close(fd)

    def _settle(self, key: bytes) -> None:
        try:
            self._disk.sync_above(key)
        except OSError as error:
            # Everybody sees it; whether a power failure leaves it is another matter.
            raise OutcomeUnknown(f"{key.decode()!r}: fsync failed: {error.strerror}") from error

    def _sweep_once(self) -> None:
        if not self._swept:
            self._swept = True
            self._disk.sweep()

    async def _read(self, key: str, function: Callable[[], T]) -> T:
        try:
            return await _retry.bounded(partial(_threads.abandoned, function), self._url)
        except OSError as error:
            raise translate(error, key) from error

    async def _write(self, key: str, function: Callable[[], T]) -> T:
        try:
            return await _threads.completed(function)
        except OSError as error:
            raise translate(error, key) from error


def _seal(fd: int) -> ETag:
    """Make a complete temporary file durable, and return the ETag of what it holds."""
    found = os.fstat(fd)
    large = found.st_size > _file_etag.HASHED
    etag = _file_etag.mark_large(fd) if large else _file_etag.of_open(fd, found)
    os.fsync(fd)
    return etag


def _write_all(fd: int, body: Buffer) -> None:
    left = memoryview(body)
    while left:
        left = left[os.write(fd, left) :]


def _copy_all(source: int, target: int, size: int) -> None:
    offset = 0
    while offset < size and (count := os.sendfile(target, source, offset, size - offset)):
        offset += count


def _read_all(fd: int) -> bytes:
    with open(fd, "rb", buffering=0, closefd=False) as file:
        return file.readall()


def _read_range(fd: int, offset: int, length: int) -> bytes:
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(fd, length, offset)):
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)
