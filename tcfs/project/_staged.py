"""A file that is being written: on the local disk until it is stored, whole."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, final

import trio

from tcfs.project._appends import MERGED
from tcfs.project._local import LocalFile
from tcfs.project._reading import Reading
from tcfs.project.errors import Exists
from tcfs.stores import (
    AlreadyExists,
    Buffer,
    Conflict,
    ETag,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    Store,
    StoreError,
    Unavailable,
)
from tcfs.stores.backoff import pauses
from tcfs.stores.deadline import remaining, unhurried, within

PIECE: Final = 1 << 20  # bytes that go to and from the disk at once


@final
class Staged:
    """What all who have a file open in this mount see while one of them may write to it.

    `key` is None once the file was removed: it then lives as long as somebody has it open, and is
    stored no more. `base` is the version that is stored, None where there is none, or where what
    was there was cut to nothing unseen. `by` is whoever writes, to be known again by `discard`.

    What was written replaces whatever is stored by then. What was added to the end does not: it
    is stored over `base` only, and comes after what another stored meanwhile if that is little
    enough to be fetched, and nothing else was changed.
    """

    __slots__ = (
        "_added", "_cut", "_directory", "_loaded", "_local", "_lock", "_store", "_tail", "base",
        "dirty", "exclusive", "key", "modified", "size", "users",
    )  # fmt: skip

    def __init__(self, store: Store, directory: Path, key: str, base: Reading | None) -> None:
        self.key: str | None = key
        self.base = base
        self.size = base.size if base else 0
        self.modified = base.modified if base else time.time_ns()
        self.dirty: set[object] = set()  # who wrote what is not stored
        self.exclusive = False  # to be stored only where nothing is
        self.users: set[object] = set()
        self._store = store
        self._directory = directory
        self._local = LocalFile(directory)
        self._loaded = base is None  # whether the disk has it all
        self._lock = trio.Lock()
        # Of what is not stored:
        self._cut = False  # it was cut to nothing, whatever is stored
        self._added = False  # something was added to the end
        self._tail: int | None = None  # where that begins, if it is all

    async def read(self, offset: int, size: int) -> Buffer:
        """Return what was written, over what was there."""
        if not self._loaded and self.base is not None:
            return await self.base.read(offset, size)
        return self._local.read(offset, min(size, max(0, self.size - offset)))

    async def write(self, by: object, offset: int, data: bytes) -> int:
        """Put `data` at `offset`; raises OSError ENOSPC where the local disk is full."""
        async with self._lock:
            await self._load()
            self._tail = None
            self._write(by, offset, data)
        return len(data)

    async def append(self, by: object, data: bytes) -> None:
        """Put `data` at the end; raises as `write` does. None makes a file, if there is none."""
        async with self._lock:
            await self._load()
            if not self.dirty:
                self._tail = self.size
            self._added = self._added or bool(data)
            self._write(by, self.size, data)

    async def truncate(self, by: object, size: int) -> None:
        """Cut or extend it."""
        async with self._lock:
            await self._load(size)
            self._tail = None
            self._cut |= not size
            self._local.truncate(size)
            self._loaded = True
            self._touched(by)
            self.size = size

    async def save(self) -> None:
        """Store what was written, whole.

        Raises:
            Exists: it was to be new, and another mount stored one.
            PreconditionFailed: another stored one, which what was added cannot be put after.
            what an upload raises; it may then be tried again.
        """
        async with self._lock:
            if self.dirty and self.key is not None:
                adds = not self._cut and (self._added or self._tail is not None)
                if self.exclusive or adds:
                    await self._save_under_condition(self.key)
                else:
                    await self.save_as(self.key, exclusive=False)

    async def save_as(self, key: str, *, exclusive: bool) -> None:
        """Store all of it, wherever that is; for who is alone with it."""
        await self._save_over(key, None, if_absent=exclusive)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Let all wait, in this block, who would write to it or store it."""
        holder = object()
        self.users.add(holder)
        try:
            async with self._lock:
                yield
        finally:
            self.left(holder)

    async def fetch(self) -> None:
        """Have all of it here; for who is alone with it."""
        await self._load()

    def discard(self, by: object) -> bool:
        """Forget what `by` wrote; tell whether nothing is left of it that could be stored.

        What others wrote to the same file as well cannot be told apart, and stays.
        """
        if by not in self.dirty:
            return False
        self.dirty.discard(by)
        if self.dirty or self._lock.locked():
            return False
        self._cut, self._added, self._tail = False, False, None
        if self.base is None:
            return True
        self._loaded = False
        self._local.truncate(0)
        self.size, self.modified = self.base.size, self.base.modified
        return False

    def left(self, user: object) -> None:
        """One who had it open has closed it; with the last one it lets go of the disk."""
        self.users.discard(user)
        if not self.users:
            self._local.close()

    async def _save_under_condition(self, key: str) -> None:
        end = trio.current_time() + remaining()
        unanswered: OutcomeUnknown | None = None
        for pause in pauses():
            base = None if self.exclusive else self.base
            try:
                # What an attempt may wait without progress is what those before it have left.
                with unhurried(max(0.0, end - trio.current_time())):
                    return await self._save_over(key, base, if_absent=base is None)
            except (AlreadyExists, PreconditionFailed):
                if unanswered is not None:
                    raise unanswered from None  # what is there may be ours, or another's like it
                if self.exclusive:
                    text = f"{key} was stored by another mount meanwhile; > replaces it"
                    raise Exists(text) from None
                if not await self._rebase(key):
                    raise PreconditionFailed(
                        f"{key} was written by another meanwhile, and cannot be merged; "
                        "open it again, and try again"
                    ) from None
                if self.base is not None and self._tail == self.size:
                    return self._saved()  # it was only to be there
                if trio.current_time() + pause >= end:
                    raise Unavailable(f"{key} kept changing; nothing was added") from None
            except OutcomeUnknown as error:
                # It may be stored: what is found there then must not be added to once more.
                # But a name that is still free can be taken: by one of the attempts.
                left = max(0.0, end - trio.current_time())
                if not (self.exclusive and await self._is_free(key, left)):
                    self._added, self._tail = True, None
                    raise
                unanswered = error
                if trio.current_time() + pause >= end:
                    raise
            except (Conflict, Unavailable) as error:
                # Nothing was stored. A store tries again by itself only what has no condition.
                if trio.current_time() + pause >= end:
                    text = f"{key} could not be stored ({error}); try again"
                    raise unanswered or Unavailable(text) from error
            await trio.sleep(pause)
        raise AssertionError("the pauses never end")

    async def _is_free(self, key: str, seconds: float) -> bool:
        try:
            with within(seconds):
                await self._store.head(key)
        except NotFound:
            return True
        except StoreError:
            return False  # or nobody says so
        return False

    async def _save_over(self, key: str, base: Reading | None, *, if_absent: bool) -> None:
        etag = await self._upload(key, if_absent=if_absent, if_match=base.etag if base else None)
        self.base = Reading(self._store, key, etag, self.size, self.modified)
        self._saved()

    def _saved(self) -> None:
        self.exclusive = self._cut = self._added = False
        self._tail = None
        self.dirty.clear()

    async def _rebase(self, key: str) -> bool:
        """Put what was added after what is stored by now; tell whether that could be done."""
        if self._tail is None or self.size - self._tail > MERGED:
            return False
        added = self._local.read(self._tail, self.size - self._tail)
        base: Reading | None = None
        body: Buffer = b""
        with suppress(NotFound):  # removed meanwhile: what was added makes it anew, as `>>` does
            found = await self._store.get_range(key, 0, MERGED)
            body = found.body
            if found.size + len(added) > MERGED:
                return False
            base = Reading(self._store, key, found.etag, found.size, found.modified)
        local = LocalFile(self._directory)
        try:
            local.write(0, body)
            local.write(len(body), added)
        except OSError:
            local.close()
            raise
        self._local.close()
        self._local, self.base = local, base
        self._tail, self.size = len(body), len(body) + len(added)
        return True

    async def _upload(self, key: str, *, if_absent: bool, if_match: ETag | None) -> ETag:
        if self.size <= PIECE:
            body = self._local.read(0, self.size)
            return await self._store.put(key, body, if_absent=if_absent, if_match=if_match)
        async with aclosing(self._pieces()) as parts:
            return await self._store.upload(key, parts, if_absent=if_absent, if_match=if_match)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        for offset in range(0, self.size, PIECE):
            yield self._local.read(offset, min(PIECE, self.size - offset))
            await trio.lowlevel.checkpoint()

    async def _load(self, most: int | None = None) -> None:
        """Have all of it on the disk, or the first `most` bytes of it."""
        if self._loaded or self.base is None:
            return
        offset, end = 0, self.base.size if most is None else min(most, self.base.size)
        while offset < end:
            piece = await self.base.read(offset, min(PIECE, end - offset))
            self._local.write(offset, piece)
            offset += len(piece)
        if end == self.base.size:
            self._loaded = True
            self.base.drop()

    def _write(self, by: object, offset: int, data: bytes) -> None:
        # Taken note of first: what a full disk took of it is to be undone.
        self._touched(by)
        try:
            self._local.write(offset, data)
        except OSError:
            self._local.truncate(self.size)
            raise
        self.size = max(self.size, offset + len(data))

    def _touched(self, by: object) -> None:
        self.dirty.add(by)
        self.modified = time.time_ns()
