"""Ordinary files: objects of any size and any bytes, with names, in directories.

An object store has no directories: one is there while a key begins with it, or while this mount
remembers it, which is from `make_directory` or the removal of something in it, to
`remove_directory` or the end.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, final

from tcfs.project._adders import Adder, Adders
from tcfs.project._appends import MERGED
from tcfs.project._directories import Directories
from tcfs.project._opened import Opened, Reader, Writer
from tcfs.project._renaming import Moved, move
from tcfs.project._staged import Staged
from tcfs.project._together import together
from tcfs.project.errors import Exists, Missing, NotEmpty
from tcfs.stores import AlreadyExists, Entry, InvalidKey, NotFound, Store

__all__ = ["Adder", "Files", "Found", "Level", "Reader", "Writer"]


@final
@dataclass(frozen=True, slots=True)
class Found:
    """A file as `stat` shows it: bytes, and nanoseconds since 1970."""

    size: int
    modified: int


@final
@dataclass(frozen=True, slots=True)
class Level:
    """One level of a directory: the names of directories, and the files by name."""

    directories: Sequence[str]
    files: Mapping[str, Found]


@final
class Files:
    """The ordinary files of a project, as one mount acts on them.

    `directory` is where this user's files lie that are being written; it is made when needed.
    """

    def __init__(self, store: Store, directory: Path) -> None:
        self._store: Final = store
        self._opened: Final = Opened(store, directory)
        self._adders: Final = Adders(store, self._opened)
        self._directories: Final = Directories()

    # looking

    async def stat(self, key: str) -> Found:
        """Return what a file looks like; raises Missing."""
        here = self._here(key)
        if here is not None:
            return here
        try:
            return _found(await self._store.head(key))
        except (NotFound, InvalidKey):
            raise Missing(f"{key} does not exist") from None

    async def look_up(self, key: str) -> Found | None:
        """Return the file at `key`, None for a directory; raises Missing."""
        here = self._here(key)
        if here is not None:
            return here
        if self._directories.has(key):
            return None
        try:
            entry, below = await together(
                lambda: self._head(key), lambda: self._store.any_under(f"{key}/")
            )
        except InvalidKey:
            raise Missing(f"{key} does not exist") from None
        if entry is not None:
            return _found(entry)
        if below:
            return None
        raise Missing(f"{key} does not exist")

    async def level(self, prefix: str) -> Level:
        """Return one level below `prefix`, which ends in `/` or is empty."""
        before = {key for key in self._keys_below(prefix) if self._here(key) is not None}
        names, entries = await self._store.list_dir(prefix)
        files = {entry.key[len(prefix) :]: _found(entry) for entry in entries}
        for key in before.union(self._keys_below(prefix)):
            name, here = key[len(prefix) :], self._here(key)
            if not name or "/" in name:
                continue
            if here is not None:
                files[name] = here
            elif key in before:  # stored or removed while the listing was under way
                files.pop(name, None)
                if (entry := await self._head(key)) is not None:
                    files[name] = _found(entry)
        self._directories.listed(prefix, names)
        left = [name for name in names if await self._is_left(f"{prefix}{name}")]
        below = dict.fromkeys([*left, *self._directories.below(prefix)])
        return Level(
            [name for name in below if name not in files and name not in ("", ".", "..")],
            {name: it for name, it in files.items() if name not in ("", ".", "..")},
        )

    async def _is_left(self, key: str) -> bool:
        # SeaweedFS goes on listing a directory for a while after its last object.
        if self._directories.was_removed(key):
            if not await self._store.any_under(f"{key}/"):
                return False
            self._directories.is_back(key)
        return True

    async def any_under(self, prefix: str) -> bool:
        """Tell whether there is anything below `prefix`, here or stored."""
        return (
            self._directories.has(prefix.rstrip("/"))
            or any(self._keys_below(prefix))
            or await self._store.any_under(prefix)
        )

    async def any_of(self, first: str, second: str) -> bool:
        """Tell whether there is anything below either prefix."""
        if self._directories.has(first.rstrip("/")):
            return True
        return any(await together(lambda: self.any_under(first), lambda: self.any_under(second)))

    # opening

    async def read(self, key: str) -> Reader:
        """Open a file for reading: the version that is there now; raises Missing."""
        return await self._opened.read(key, promised=self._adders.promises(key))

    def mixed(self, reader: Reader) -> bool:
        """Tell whether others in this mount have another version of the file open."""
        return self._opened.mixed(reader)

    async def write(self, key: str, *, truncate: bool) -> Writer:
        """Open a file for writing; raises Missing."""
        return await self._opened.write(key, truncate=truncate)

    async def create(self, key: str, *, truncate: bool, exclusive: bool) -> Writer:
        """Make a file, which resolves here from now on, and is stored when `save`d.

        Raises:
            Exists: `exclusive`, and somebody in this mount has just made it.
        """
        if exclusive and self._adders.promises(key):
            raise Exists(f"{key} exists; > replaces it")
        return await self._opened.create(key, truncate=truncate, exclusive=exclusive)

    def add(self, key: str, *, created: bool) -> Adder:
        """Open a file for adding to its end; `created`: it did not look up."""
        return self._adders.add(key, created=created)

    # changing

    async def truncate(self, key: str, size: int) -> None:
        """Cut or extend a file; raises as `Opened.cut` does."""
        await self._opened.cut(key, size)

    async def remove(self, key: str) -> None:
        """Remove a file."""
        async with self._alone(key):
            await self._keep(key)
            with self._opened.aside(key):
                await self._store.delete(key)
        self._adders.removed(key)
        self._directories.keep(key)

    async def rename(self, key: str, new: str, *, exclusive: bool) -> None:
        """Move a file, in place of what is there unless `exclusive`.

        Raises:
            Exists: `exclusive`, and there is one.
            OtherDirectory: it is a directory, or larger than a service copies by itself.
            Missing
        """
        if exclusive and self._here(new) is not None:
            raise Exists(f"{new} exists")
        if key == new:  # by two paths: `as/<agent>/` has all files again
            if await self.look_up(key) and exclusive:
                raise Exists(f"{new} exists")
            return
        await self._adders.save(key)
        async with self._alone(key, new):
            await self._keep(new)
            staged = self._opened.staged(key)
            with self._opened.aside(new):
                moved: Moved | None = None
                if staged is not None and staged.dirty:
                    await self._move_staged(staged, key, new, exclusive=exclusive)
                else:
                    moved = await move(self._store, key, new, exclusive=exclusive)
            self._opened.moved(key, new, moved)
        self._adders.moved(key, new)
        self._directories.keep(key)

    # directories

    def make_directory(self, key: str) -> None:
        """Make a directory, without `/` at its end, that is remembered here."""
        self._directories.add(key)

    async def remove_directory(self, key: str) -> None:
        """Remove an empty directory; raises NotEmpty."""
        prefix = f"{key}/"
        if (
            any(self._keys_below(prefix))
            or any(True for _ in self._directories.below(prefix))
            or not await self._holds_nothing(prefix)
        ):
            raise NotEmpty(f"{key} still has something in it")
        self._directories.drop(key)
        self._directories.keep(key)

    async def _holds_nothing(self, prefix: str) -> bool:
        if not await self._store.any_under(prefix):
            return True
        names, entries = await self._store.list_dir(prefix)
        if names or any(entry.key != prefix for entry in entries):
            return False
        await self._store.delete(prefix)  # what stands for an empty directory with other tools
        return True

    # inside

    @asynccontextmanager
    async def _alone(self, *keys: str) -> AsyncIterator[None]:
        """Let all wait, in this block, who would write to these files here, or store them."""
        async with AsyncExitStack() as stack:
            held: set[Staged] = set()
            while others := [
                it for key in sorted(keys) if (it := self._opened.staged(key)) and it not in held
            ]:
                await stack.enter_async_context(others[0].alone())
                held.add(others[0])
            yield

    async def _keep(self, key: str) -> None:
        """Let who writes there go on after it is removed, if it is not too much to be fetched."""
        staged = self._opened.staged(key)
        if staged is not None and staged.size <= MERGED:
            await staged.fetch()

    async def _move_staged(self, staged: Staged, key: str, new: str, *, exclusive: bool) -> None:
        """Store at another key what is not stored yet, and remove what was there before it."""
        before, dirty, ours = staged.base, set(staged.dirty), not staged.exclusive
        try:
            await staged.save_as(new, exclusive=exclusive)
        except AlreadyExists:
            raise Exists(f"{new} exists") from None
        try:
            if ours:
                await self._store.delete(key)
        except BaseException:
            staged.base, staged.dirty = before, dirty
            raise

    def _here(self, key: str) -> Found | None:
        staged = self._opened.staged(key)
        # Stored, it has the store's time: vim takes any other, at its next save, for a change.
        if staged is not None and (staged.dirty or staged.base is None):
            return Found(staged.size, staged.modified)
        return Found(0, 0) if self._adders.promises(key) else None

    def _keys_below(self, prefix: str) -> Iterator[str]:
        return chain(self._opened.below(prefix), self._adders.promised(prefix))

    async def _head(self, key: str) -> Entry | None:
        try:
            return await self._store.head(key)
        except NotFound:
            return None


def _found(entry: Entry) -> Found:
    return Found(entry.size, entry.modified)
