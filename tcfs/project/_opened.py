"""What is open in this mount: who reads which version of an object, who is writing one anew.

All who have a key open share what one of them writes, before it is stored. This room knows no
kernel, and no directory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

from tcfs.project._locks import Locks
from tcfs.project._reading import Reading
from tcfs.project._renaming import Moved
from tcfs.project._staged import Staged
from tcfs.project.errors import Exists, Missing
from tcfs.stores import Buffer, Store


@final
class Reader:
    """Somebody reads a file: the version it opened, or what is being written to it here."""

    __slots__ = ("_opened", "key", "staged", "version")

    def __init__(
        self, opened: "Opened", key: str, version: Reading | None, staged: Staged | None
    ) -> None:
        self.key = key
        self.version = version
        self.staged = staged
        self._opened = opened

    @property
    def size(self) -> int:
        """How long it is now."""
        if self.staged is not None:
            return self.staged.size
        return self.version.size if self.version else 0

    async def read(self, offset: int, size: int) -> Buffer:
        """Return at most `size` bytes from `offset` on.

        Raises:
            PreconditionFailed: the version is there no more.
        """
        if self.staged is not None:
            return await self.staged.read(offset, size)
        return await self.version.read(offset, size) if self.version else b""

    def close(self) -> None:
        """Let go of it."""
        self._opened.left(self)


@final
class Writer:
    """Somebody has a file open to write to it; several may, and share one copy of it.

    `failed` is why nothing more can be written: what was before it is not stored, and what comes
    after it would be stored without.
    """

    __slots__ = ("_opened", "failed", "staged")

    def __init__(self, opened: "Opened", staged: Staged) -> None:
        self.staged = staged
        self.failed: Exception | None = None
        self._opened = opened
        staged.users.add(self)

    @property
    def size(self) -> int:
        """How long it is now."""
        return self.staged.size

    async def read(self, offset: int, size: int) -> Buffer:
        """Return what was written, over what was there."""
        return await self.staged.read(offset, size)

    async def write(self, offset: int, data: bytes) -> int:
        """Put `data` at `offset`.

        Raises:
            OSError: ENOSPC, the local disk is full. Half of what was meant is not stored.
        """
        with self._whole():
            return await self.staged.write(self, offset, data)

    async def append(self, data: bytes) -> None:
        """Put `data` at the end; raises as `write` does."""
        with self._whole():
            await self.staged.append(self, data)

    async def truncate(self, size: int) -> None:
        """Cut or extend it; raises as `write` does."""
        with self._whole():
            await self.staged.truncate(self, size)

    async def save(self) -> None:
        """Store it whole; raises as `Staged.save` does, and what made it fail before."""
        if self.failed is not None:
            raise self.failed
        try:
            await self.staged.save()
        except Exists as error:
            self.failed = error
            self.discard()
            raise

    def discard(self) -> None:
        """Leave what is stored as it is."""
        self._opened.discarded(self)

    def close(self) -> None:
        """Let go of it."""
        self._opened.closed(self)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        if self.failed is not None:
            raise self.failed
        try:
            yield
        except OSError as error:
            if self in self.staged.dirty:
                self.failed = error
                self.discard()
            raise


@final
class Opened:
    """The table of one mount."""

    def __init__(self, store: Store, directory: Path) -> None:
        self._store: Final = store
        self._directory: Final = directory
        self._staged: dict[str, Staged] = {}
        self._readers: dict[str, set[Reader]] = {}
        self._opening: Final = Locks()

    def staged(self, key: str) -> Staged | None:
        """Return the file that is being written there, if one is."""
        return self._staged.get(key)

    def below(self, prefix: str) -> Iterator[str]:
        """Return the keys of what is being written under a prefix."""
        return (key for key in self._staged if key.startswith(prefix))

    async def read(self, key: str, *, promised: bool) -> Reader:
        """Open for reading; raises Missing, unless it is `promised` and is empty so far."""
        staged = self._staged.get(key)
        try:
            version = staged.base if staged else await Reading.begin(self._store, key)
        except Missing:
            if not promised:
                raise
            version = None
        staged = staged or self._staged.get(key)  # it may have been opened meanwhile
        others = self._readers.setdefault(key, set())
        for other in others:
            # What they read ahead must not come to the kernel any more: it has one cache a file.
            if version and other.version and other.version.etag != version.etag:
                other.version.drop()
        reader = Reader(self, key, version, staged)
        others.add(reader)
        if staged is not None:
            staged.users.add(reader)
        return reader

    def join(self, staged: Staged) -> Writer:
        """Open for writing what others have open for that."""
        return Writer(self, staged)

    def mixed(self, reader: Reader) -> bool:
        """Tell whether others here have another version of the same file open."""
        etag = reader.version.etag if reader.version else None
        return any(
            other.version is not None and other.version.etag != etag
            for other in self._readers.get(reader.key, ())
        )

    async def write(self, key: str, *, truncate: bool) -> Writer:
        """Open for writing what is there; raises Missing."""
        writer = await self._writer(key, anew=truncate)
        if truncate:
            try:
                await writer.truncate(0)
            except BaseException:
                writer.close()
                raise
        return writer

    async def create(self, key: str, *, truncate: bool, exclusive: bool) -> Writer:
        """Open for writing what was not there; raises Exists if `exclusive` and it is here.

        Without `truncate`, what another mount stores there meanwhile is not cut.
        """
        there = self._staged.get(key)
        if there is not None and exclusive:
            raise Exists(f"{key} exists; > replaces it")
        writer = await self._writer(key, anew=True)
        writer.staged.exclusive |= exclusive
        try:
            await (writer.truncate(0) if truncate else writer.append(b""))
        except BaseException:
            writer.close()
            raise
        return writer

    async def cut(self, key: str, size: int) -> None:
        """Cut or extend what is there. What is being written is stored by who writes it."""
        writer = await self._writer(key, anew=size == 0)
        try:
            alone = not writer.staged.dirty
            await writer.truncate(size)
            if alone:
                await writer.save()
        finally:
            writer.close()

    @contextmanager
    def aside(self, key: str) -> Iterator[None]:
        """Something else comes to be at `key`, or nothing, in this block, if it succeeds.

        Who has open what was there goes on with it, and stores nothing.
        """
        staged = self._staged.pop(key, None)
        if staged is not None:
            staged.key = None
        try:
            yield
        except BaseException:
            if staged is not None and staged.users and key not in self._staged:
                staged.key = key
                self._staged[key] = staged
            raise
        self._readers.pop(key, None)

    def moved(self, key: str, new: str, moved: Moved | None) -> None:
        """What was at `key` is at `new`. Another version than the one that was moved is gone."""
        readers = self._readers.pop(key, set())
        staged = self._staged.pop(key, None)
        if staged is not None:
            staged.key = new
            self._staged[new] = staged
            staged.base = _renamed(staged.base, moved)
        for reader in readers:
            reader.key = new
            reader.version = _renamed(reader.version, moved)
        self._readers.setdefault(new, set()).update(readers)

    def discarded(self, writer: Writer) -> None:
        """What one wrote is not to be stored. A file that never was resolves no more."""
        staged = writer.staged
        others = any(isinstance(it, Writer) and it is not writer for it in staged.users)
        if staged.discard(writer) and not others:
            self._vanish(staged)

    def left(self, reader: Reader) -> None:
        """A reader has closed the file."""
        readers = self._readers.get(reader.key, set())
        readers.discard(reader)
        if not readers:
            self._readers.pop(reader.key, None)
        if reader.staged is not None:
            reader.staged.left(reader)

    def closed(self, writer: Writer) -> None:
        """A writer has closed the file; with the last one, it is an object like any other."""
        staged = writer.staged
        if any(isinstance(it, Writer) and it is not writer for it in staged.users):
            staged.left(writer)
            return
        if staged.key is not None and staged.base is not None:
            for reader in [it for it in staged.users if isinstance(it, Reader)]:
                reader.staged, reader.version = None, staged.base
                staged.left(reader)
        self._vanish(staged)
        staged.left(writer)

    async def _writer(self, key: str, *, anew: bool) -> Writer:
        """Join who writes there, or begin with what is stored; `anew`: it is to be cut."""
        # One after another: who would begin with a version that is being replaced here meanwhile
        # would later store over what replaced it.
        if key not in self._staged:
            async with self._opening.hold(key):
                if key not in self._staged:
                    base = None if anew else await Reading.begin(self._store, key)
                    self._enter(Staged(self._store, self._directory, key, base))
                return Writer(self, self._staged[key])
        return Writer(self, self._staged[key])

    def _vanish(self, staged: Staged) -> None:
        if staged.key is not None and self._staged.get(staged.key) is staged:
            del self._staged[staged.key]
        staged.key = None

    def _enter(self, staged: Staged) -> None:
        assert staged.key is not None
        self._staged[staged.key] = staged
        for reader in self._readers.get(staged.key, ()):
            same = reader.version and staged.base and reader.version.etag == staged.base.etag
            if same or staged.base is None:
                reader.staged = staged
                staged.users.add(reader)


def _renamed(known: Reading | None, moved: Moved | None) -> Reading | None:
    return moved.version if known and moved and known.etag == moved.was else known
