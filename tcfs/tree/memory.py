"""`memory/`: one file a key, named by the key (tree.md, memory)."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final, final

from tcfs.project import WALK
from tcfs.project.errors import Exists, Missing, NotAllowed, NotEmpty, TooLarge
from tcfs.project.memory import MAX_VALUE
from tcfs.stores import Entry
from tcfs.tree._base import (
    STATIC,
    Attributes,
    Caller,
    Directory,
    File,
    Handle,
    Node,
    OpenMode,
    ViewDirectory,
)
from tcfs.tree._scratched import Scratched
from tcfs.tree._text import Addition, Draft, Exact, Snapshot, Text, TextView
from tcfs.tree._view import View
from tcfs.wire import InvalidName, Malformed, keys

# `jq . > memory/k.tmp && mv memory/k.tmp memory/k`; some add a process id: `k.tmp.1234`.
UNFINISHED: Final = frozenset({"tmp", "part"})
PREFETCH: Final = 1000  # values a listing fetches for their sizes: architecture.md


@final
class MemoryDirectory(Directory):
    """The keys that begin with `below.`; all of them at the top, where `below` is empty."""

    __slots__ = ("_below", "_view", "keep")

    def __init__(self, path: str, view: View, below: str = "") -> None:
        super().__init__(path)
        self._view = view
        self._below = below
        # A prefix comes and goes with the keys below it.
        self.keep = Directory.keep if below else STATIC

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return a key's file, the exact object of one, or the directory of the keys below."""
        if name == "_history" and not self._below:
            return HistoryDirectory(self.child(name), self._view)
        try:
            key = self._key(name)
        except InvalidName:
            raise Missing(f"{self.child(name)} does not exist") from None
        return await self._lookup_key(name, key)

    async def _lookup_key(self, name: str, key: str) -> Node:
        memory = self._view.project.memory
        try:
            with suppress(Malformed):  # some other tool's object: to be replaced, or removed
                await memory.read(key)
        except Missing:
            return await self._lookup_other(name, key)
        return ValueFile(self.child(name), self._view, key)

    async def _lookup_other(self, name: str, key: str) -> Node:
        if key in self._view.local.memory or await self._has_below(key):
            return self._directory(name, key)
        if name.endswith(".json"):
            base = key.removesuffix(".json")
            await self._exact(base, 0.0)
            return Exact(self.child(name), lambda: self._exact(base))
        raise Missing(f"memory/{key} has no value; `ls memory` shows what there is")

    async def _has_below(self, key: str) -> bool:
        # `mv k.tmp k` would move into a directory `k`, which `k.tmp` alone must not make.
        memory, unfinished = self._view.project.memory, self._view.local.unfinished
        if not any(it.startswith(f"{key}.") for it in unfinished):
            return await memory.any_below(key)
        return any(it not in unfinished for it, _ in await memory.list(key))

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return the keys, by their dotted names, and the directories that were made here."""
        listed = await self._view.project.memory.list(self._below)
        skip = len(self._below) + 1 if self._below else 0
        sizes = await self._view.project.memory.sizes([entry for _, entry in listed[:PREFETCH]])
        found: list[tuple[str, Node]] = []
        for key, entry in listed:
            if _is_nameable(key):
                attributes = Attributes(sizes.get(entry.key, 0), entry.modified)
                name = key[skip:]
                found.append((name, ValueFile(self.child(name), self._view, key, attributes)))
        names = {name for name, _ in found}
        for made in sorted(self._view.local.memory):
            parent, _, name = made.rpartition(".")
            if parent == self._below and name not in names:
                found.append((name, self._directory(name, made)))
        return found

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        """Make a key; with O_EXCL by a conditional put, here and now."""
        key = self._key(name)
        agent = self._view.acting(caller)
        memory = self._view.project.memory
        if not UNFINISHED.isdisjoint(key.split(".")[1:]):
            self._view.local.unfinished.add(key)
        file = ValueFile(self.child(name), self._view, key)
        if mode.exclusive:
            await memory.create(key, agent, b"")
        elif not (mode.truncate or mode.append):
            # `touch` makes a file, and never empties one that somebody made just before.
            with suppress(Exists):
                await memory.create(key, agent, b"")
            return file, await file.open(mode, caller)
        return file, file.writer(mode, caller, b"", dirty=not mode.exclusive)

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """Make a directory that lives in this mount, for keys to be made in."""
        key = self._key(name)
        self._view.local.memory.add(key)
        return self._directory(name, key)

    async def rmdir(self, name: str, caller: Caller) -> None:
        """Remove a directory that no key is below."""
        key = self._key(name)
        made_below = any(it.startswith(f"{key}.") for it in self._view.local.memory)
        if made_below or await self._view.project.memory.any_below(key):
            raise NotEmpty(f"memory/{key} is not empty: ls memory/{key.replace('.', '/')}")
        self._view.local.memory.discard(key)

    async def put(self, name: str, content: bytes, caller: Caller, *, exclusive: bool) -> None:
        """Set a value, or create it."""
        key, agent = self._key(name), self._view.acting(caller)
        await self._check_no_view(name, key)
        if exclusive:
            await self._view.project.memory.create(key, agent, content)
        else:
            await self._view.project.memory.set(key, agent, content)

    async def unlink(self, name: str, caller: Caller) -> None:
        """Remove a value; its versions stay in `_history`."""
        self._view.acting(caller)
        key = self._key(name)
        await self._check_no_view(name, key)
        await self._view.project.memory.delete(key)
        self._view.local.unfinished.discard(key)
        if self._below:
            # `rm -r memory/design` removes the directory next: it must outlast its last key.
            self._view.local.memory.add(self._below)

    async def rename(
        self, name: str, target: Directory, new: str, caller: Caller, *, exclusive: bool
    ) -> None:
        """Move a value to another key."""
        if not isinstance(target, MemoryDirectory):
            await Directory.rename(self, name, target, new, caller, exclusive=exclusive)
            return
        source, destination = self._key(name), target._key(new)
        memory = self._view.project.memory
        try:
            value = await memory.read(source)
        except Missing:
            await self._check_no_view(name, source)
            await Directory.rename(self, name, target, new, caller, exclusive=exclusive)
            return
        await target.put(new, value.content, caller, exclusive=exclusive)
        if destination != source:
            await memory.delete(source)
            self._view.local.unfinished.discard(source)

    def _directory(self, name: str, key: str) -> Directory:
        return Scratched(MemoryDirectory(self.child(name), self._view, key), self._view)

    def _key(self, name: str) -> str:
        if name.startswith("."):
            raise InvalidName(f"a memory key may not begin with '.': {name!r}; use artifacts/")
        return keys.memory_name(f"{self._below}.{name}" if self._below else name)

    async def _check_no_view(self, name: str, key: str) -> None:
        """Refuse what shows the object of another key, and is no key of its own."""
        if not name.endswith(".json"):
            return
        try:
            node = await self._lookup_key(name, key)
        except Missing:
            return
        if isinstance(node, Exact):
            raise NotAllowed(f"{self.child(name)} shows an object; change the key without .json")

    async def _exact(self, key: str, max_age: float = WALK) -> Text:
        return Text(await self._view.project.memory.document(key, max_age=max_age))


def _is_nameable(key: str) -> bool:
    try:
        return keys.memory_name(key) == key
    except InvalidName:
        return False  # shows in .tcfs/raw only


@final
class ValueFile(File):
    """The value of a key."""

    __slots__ = ("_key", "_view")

    def __init__(self, path: str, view: View, key: str, listed: Attributes | None = None) -> None:
        super().__init__(path, listed)
        self._view = view
        self._key = key

    async def attributes(self) -> Attributes:
        """Return the size of the value."""
        try:
            value = await self._view.project.memory.read(self._key, max_age=WALK)
        except (Missing, Malformed):
            # Created, and not stored yet: its handle knows the size. Or nobody can read it.
            return Attributes()
        return Attributes(len(value.content), value.modified)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Read the value, replace it, change it, or add to it."""
        memory = self._view.project.memory
        if not mode.write:
            return Snapshot((await memory.read(self._key, max_age=WALK)).content)
        self._view.acting(caller)
        before = b"" if mode.truncate else (await memory.read(self._key, max_age=WALK)).content
        return self.writer(mode, caller, before, dirty=mode.truncate)

    def writer(self, mode: OpenMode, caller: Caller, before: bytes, *, dirty: bool) -> Handle:
        """Return the handle that writes: `>>` adds atomically, anything else replaces."""
        memory = self._view.project.memory
        agent = self._view.who(caller)
        if mode.append and not mode.truncate:
            add = partial(memory.append, self._key, agent)
            shown = before if mode.read else b""
            return Addition(add, self._check_size, before=shown, created=dirty)
        return Draft(partial(memory.set, self._key, agent), self._check_size, before, dirty=dirty)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Cut the value."""
        handle = await self.open(OpenMode(write=True), caller)
        await handle.truncate(size)
        await handle.commit()

    def _check_size(self, size: int) -> None:
        if size > MAX_VALUE:
            raise TooLarge(
                f"memory/{self._key} may hold {MAX_VALUE} bytes at most; share a file in artifacts/"
            )


@final
class HistoryDirectory(ViewDirectory):
    """`memory/_history/`: every key that has versions."""

    __slots__ = ("_view",)
    keep = STATIC

    def __init__(self, path: str, view: View) -> None:
        super().__init__(path)
        self._view = view

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return the versions of a key; raises Missing where there are none."""
        try:
            key = keys.memory_name(name)
        except InvalidName:  # programs look for `.git` and the like everywhere
            raise Missing(f"memory/_history has no {name}") from None
        if not await self._view.project.memory.has_versions(key):
            raise Missing(f"memory/{name} has no versions")
        return VersionsDirectory(self.child(name), self._view, key)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return the keys that have a value; one without is found by its name."""
        listed = await self._view.project.memory.list()
        return [
            (key, VersionsDirectory(self.child(key), self._view, key))
            for key, _ in listed
            if _is_nameable(key)
        ]


@final
class VersionsDirectory(ViewDirectory):
    """`memory/_history/<key>/`: a read-only file a version, oldest first."""

    __slots__ = ("_key", "_view")

    def __init__(self, path: str, view: View, key: str) -> None:
        super().__init__(path)
        self._view = view
        self._key = key

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return one version."""
        return self._file(name, await self._view.project.memory.find_version(self._key, name))

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return every version."""
        listed = await self._versions()
        newest = [entry for _, entry in listed[-PREFETCH:]]
        sizes = await self._view.project.memory.sizes(newest)
        found: list[tuple[str, Node]] = []
        for leaf, entry in listed:
            node = self._file(leaf, entry)
            node.listed = Attributes(sizes.get(entry.key, 0), entry.modified, writable=False)
            found.append((leaf, node))
        return found

    async def _versions(self) -> list[tuple[str, Entry]]:
        return [
            (entry.key.rpartition("/")[2].removesuffix(".json"), entry)
            for entry in await self._view.project.memory.versions(self._key)
        ]

    def _file(self, leaf: str, entry: Entry) -> TextView:
        return TextView(self.child(leaf), partial(self._text, entry))

    async def _text(self, entry: Entry, caller: Caller | None) -> Text:
        value = await self._view.project.memory.version(entry)
        return Text(value.content, entry.modified)
