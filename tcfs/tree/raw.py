"""`.tcfs/raw/`: the bucket's exact objects under the project, read-only."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self, final

from tcfs.project.errors import Missing, ViewOnly
from tcfs.stores import Entry, InvalidKey, NotFound
from tcfs.tree._base import STATIC, Attributes, Caller, File, Handle, Node, OpenMode, ViewDirectory
from tcfs.tree._view import View
from tcfs.tree.plain import Ranges

OURS: Final = ".tcfs"  # where a store is tried out (`tcfs.stores.probe`): never shown


@final
class RawDirectory(ViewDirectory):
    """One level of keys."""

    __slots__ = ("_prefix", "_view", "keep")

    def __init__(self, path: str, view: View, prefix: str = "") -> None:
        super().__init__(path)
        self._view = view
        self._prefix = prefix
        self.keep = ViewDirectory.keep if prefix else STATIC

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return the object, or the prefix where no object has that name."""
        store = self._view.project.store
        key = f"{self._prefix}{name}"
        if key == OURS:
            raise Missing(f"{key} is no part of the project")
        try:
            return RawFile.of(self.child(name), self._view, await store.head(key))
        except (NotFound, InvalidKey):
            # What is no UTF-8 is no key, and a store need not see that in a prefix.
            there = name.encode(errors="ignore").decode() == name
        with suppress(InvalidKey):
            if there and await store.any_under(f"{key}/"):
                return RawDirectory(self.child(name), self._view, f"{key}/")
        raise Missing(f"the bucket has nothing at {key}")

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return the objects and prefixes here; an object hides a prefix of the same name."""
        names, entries = await self._view.project.store.list_dir(self._prefix)
        found: dict[str, Node] = {
            name: RawDirectory(self.child(name), self._view, f"{self._prefix}{name}/")
            for name in names
        }
        for entry in entries:
            name = entry.key[len(self._prefix) :]
            found[name] = RawFile.of(self.child(name), self._view, entry)
        return [
            (name, node)
            for name, node in found.items()
            if name not in ("", ".", "..") and f"{self._prefix}{name}" != OURS
        ]


@final
class RawFile(File):
    """One object."""

    __slots__ = ("_key", "_view")

    def __init__(self, path: str, view: View, key: str) -> None:
        super().__init__(path)
        self._view = view
        self._key = key

    @classmethod
    def of(cls, path: str, view: View, entry: Entry) -> Self:
        """Return the file of an object that was just listed."""
        file = cls(path, view, entry.key)
        file.listed = Attributes(entry.size, entry.modified, writable=False)
        return file

    async def attributes(self) -> Attributes:
        """Return the object's size and time."""
        entry = await self._view.project.store.head(self._key)
        return Attributes(entry.size, entry.modified, writable=False)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open for reading; a write is refused."""
        if mode.write:
            raise self._refusal()
        return Ranges(self._view.project.store, self._key)

    async def set_times(self, caller: Caller) -> None:
        """Refuse: `touch` tries this where opening was refused."""
        raise self._refusal()

    def _refusal(self) -> ViewOnly:
        return ViewOnly(f"{self.path} shows the bucket as it is; write through the tree")
