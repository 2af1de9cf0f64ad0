"""Shared memory: one value a key, every version kept, appends that lose nothing.

A value is a document at its key, replaced whole; its versions lie below `_history/` and are never
changed (protocol.md, memory).
"""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, final

from tcfs.project._apart import Later
from tcfs.project._batches import batches
from tcfs.project._clock import Clock
from tcfs.project._conditional import Lost, Writer
from tcfs.project._documents import WALK, Documents
from tcfs.project._joined import Joined
from tcfs.project._locks import Locks
from tcfs.project.errors import Exists, Invalid, Missing, TooLarge
from tcfs.stores import Entry, Object, OutcomeUnknown, StoreError
from tcfs.stores.deadline import DEFAULT
from tcfs.wire import Malformed, keys
from tcfs.wire.ids import AgentId, fresh
from tcfs.wire.memory import MemoryValue, split_newline

log: Final = logging.getLogger(__name__)
SURE: Final = 1.0  # seconds that a directory's existence may be old: architecture.md, freshness
MAX_VALUE: Final = 1 << 20  # bytes: tree.md, memory
RECENT: Final = 2 * DEFAULT  # seconds a nonce is kept: two deadlines
HURRY: Final = 5.0  # seconds: how old a base an append may try first; the condition decides


@final
@dataclass(frozen=True, slots=True)
class Value:
    """A value as a file: its bytes, and when it was set, in nanoseconds since 1970."""

    content: bytes
    modified: int


@final
class Memory:
    """The memory of a project, as one mount acts on it."""

    def __init__(self, documents: Documents, writer: Writer, clock: Clock, later: Later) -> None:
        self._documents = documents
        self._store = documents.store
        self._writer = writer
        self._clock = clock
        self._later = later
        self._alone = Locks()
        self._joined = Joined(self._alone)

    # reading

    async def read(self, name: str, *, max_age: float = 0.0) -> Value:
        """Return the value of a dotted key.

        Raises:
            Missing: there is none.
            Malformed: the object there is no memory document.
        """
        found = await self._documents.read(keys.memory(name), max_age=max_age)
        if found is None:
            raise Missing(f"memory/{name} has no value; `ls memory` shows what there is")
        return value_of(found)

    async def document(self, name: str, *, max_age: float = 0.0) -> bytes:
        """Return the exact object of a key; raises Missing."""
        found = await self._documents.read(keys.memory(name), max_age=max_age)
        if found is None:
            raise Missing(f"memory/{name} has no value")
        return found.body

    async def list(self, below: str = "") -> Sequence[tuple[str, Entry]]:
        """Return the dotted keys that begin with `below.` (all, if empty), with their objects."""
        prefix = f"{keys.MEMORY}{below.replace('.', '/')}/" if below else keys.MEMORY
        return [found async for found in self._listed(prefix)]

    async def any_below(self, below: str) -> bool:
        """Tell whether any key begins with `below.`."""
        return await self._store.any_under(f"{keys.MEMORY}{below.replace('.', '/')}/")

    async def values(self, entries: Sequence[Entry]) -> dict[str, Value]:
        """Return values of objects that `list` just showed, by key, but for unreadable ones."""
        found = {}
        for key, each in (await self._documents.read_many(entries)).items():
            try:
                found[key] = value_of(each)
            except Malformed as error:
                log.info("%s: %s", key, error)
        return found

    async def sizes(self, entries: Sequence[Entry]) -> dict[str, int]:
        """Return the sizes of values that `list` just showed, by key, but for unreadable ones.

        However many there are, few of them are held at once.
        """
        found: dict[str, int] = {}
        for batch in batches(entries):
            values = await self.values(batch)
            found.update((key, len(it.content)) for key, it in values.items())
        return found

    async def versions(self, name: str) -> Sequence[Entry]:
        """Return the objects of a key's versions, oldest first."""
        prefix = keys.history(name)
        found: list[Entry] = []
        async for page in self._store.list(prefix):
            found += [entry for entry in page if keys.append_leaf(entry.key[len(prefix) :])]
        return found

    async def has_versions(self, name: str) -> bool:
        """Tell whether a key has a version: one with a value has, and any other is listed."""
        if await self._documents.read(keys.memory(name), max_age=SURE) is not None:
            return True
        return bool(await self.versions(name))

    async def find_version(self, name: str, leaf: str) -> Entry:
        """Return the object of one version by the leaf of its key, without `.json`.

        Raises Missing.
        """
        key = f"{keys.history(name)}{leaf}.json"
        found = None
        if "/" not in leaf and keys.append_leaf(f"{leaf}.json") is not None:
            found = await self._documents.read(key, max_age=3600.0)  # it never changes
            if found is None:  # that it was not there a while ago does not say it is not now
                found = await self._documents.read(key)
        if found is None:
            raise Missing(f"memory/{name} has no version {leaf}")
        return Entry(key, found.etag, len(found.body), found.modified)

    async def version(self, entry: Entry) -> Value:
        """Return one version, which never changes; what is no document shows as it is.

        Raises Missing.
        """
        found = await self._documents.read_entry(entry)
        if found is None:
            raise Missing(f"{entry.key} is gone")
        try:
            return value_of(found)
        except Malformed:
            return Value(found.body, found.modified)

    async def _listed(self, prefix: str) -> AsyncIterator[tuple[str, Entry]]:
        async for page in self._store.list(prefix):
            for entry in page:
                name = keys.memory_of(entry.key)
                if name is not None:
                    yield name, entry

    # writing

    async def set(self, name: str, agent: AgentId, content: bytes) -> None:
        """Give a key a new value; the last writer wins, and every version is kept.

        Raises:
            TooLarge, Invalid, OutcomeUnknown, Unavailable, Denied, ReadOnly
        """
        async with self._alone.hold(name):
            found = await self._documents.read(keys.memory(name), max_age=WALK)
            document = self._document(agent, content, _parsed(found))
            await self._keep(self._version(name, agent), name, document)
            if self._store.capabilities.create and self._store.capabilities.replace:
                await self._replace(name, document, found)
            else:
                await self._put(name, document)

    async def _replace(self, name: str, document: MemoryValue, found: Object | None) -> None:
        """Put `document` where `found` is, or what comes to be there meanwhile.

        Under a condition although the last writer wins: an attempt that was given up may arrive
        late, and would undo what others were told is there by then.
        """
        doubt: Lost | None = None
        while True:
            if found is not None and not found.etag:  # another tool's, and too large to be read
                return await self._put(name, document)
            try:
                await self._write(name, document, found)
            except Lost as lost:
                if lost.unanswered and not _accounts_for(lost.current, _parsed(found)):
                    doubt = lost  # it may have been there, and been replaced
                found = lost.current
                document = self._upon(document, _parsed(found))
            except OutcomeUnknown:
                raise
            except StoreError as error:
                if doubt is None:
                    raise
                raise OutcomeUnknown(
                    f"it is unknown whether memory/{name} was set: another tool wrote it "
                    f"meanwhile, and then it could not be ({error}); read it, and set it again"
                ) from error
            else:
                return None

    async def create(self, name: str, agent: AgentId, content: bytes) -> None:
        """Give a key its first value.

        Raises:
            Exists: it has one.
            TooLarge, Invalid, OutcomeUnknown, Unavailable, Denied, ReadOnly, Unsupported
        """
        document = self._document(agent, content, None)
        async with self._alone.hold(name):
            try:
                await self._write(name, document, None)
            except Lost as lost:
                by = value_setter(lost.current)
                raise Exists(f"memory/{name} exists, set by {by}; > replaces it") from None
            if content:
                await self._keep_now_or_later(name, agent, document)

    async def append(self, name: str, agent: AgentId, content: bytes) -> None:
        """Add to the end of a value, atomically across hosts; a key without one gets it.

        What several tasks of this mount add for one agent while a write is under way goes into
        the next write together: each write carries the whole value.

        Raises:
            OutcomeUnknown: it may have been added; trying again could add it twice.
            TooLarge, Invalid, Malformed, Unavailable, Denied, ReadOnly, Unsupported
        """
        write = partial(self._append, name, agent)
        await self._joined.add(name, agent, content, write)

    async def _append(self, name: str, agent: AgentId, content: bytes) -> None:
        found = await self._documents.read(keys.memory(name), max_age=HURRY)
        if found is not None and not content:
            return  # made by somebody else just now, and nothing to add
        while True:
            before = MemoryValue.parse(found.body) if found else None
            joined = (value_of(found).content if found else b"") + content
            document = self._document(agent, joined, before)
            try:
                await self._write(name, document, found)
            except Lost as lost:
                if lost.unanswered and not _accounts_for(lost.current, before):
                    raise OutcomeUnknown(
                        f"it is unknown whether memory/{name} was added to: another tool wrote "
                        "it meanwhile; read it, and add again what is missing"
                    ) from lost
                found = lost.current
            else:
                break
        await self._keep_now_or_later(name, agent, document)

    async def delete(self, name: str) -> None:
        """Remove a value; its versions stay. One that is not there is removed already."""
        async with self._alone.hold(name):
            sent = self._documents.sending(keys.memory(name))
            await self._store.delete(keys.memory(name))
            self._documents.deleted(keys.memory(name), sent=sent)

    def _document(self, agent: AgentId, content: bytes, before: MemoryValue | None) -> MemoryValue:
        if len(content) > MAX_VALUE:
            raise TooLarge(
                f"a memory value holds {MAX_VALUE} bytes at most, this one has {len(content)}; "
                "share a file in artifacts/ instead"
            )
        try:
            value, newline = split_newline(content)
        except Malformed as error:
            raise Invalid(str(error)) from None
        document = MemoryValue(
            value=value,
            set_by=agent,
            set_at=self._clock.iso(),
            newline=newline,
            nonce=fresh()[:12],
        )
        return self._upon(document, before)

    def _upon(self, document: MemoryValue, before: MemoryValue | None) -> MemoryValue:
        """Return `document` with what is kept of the one before."""
        now = self._clock.now() // 1_000_000_000
        assert document.nonce is not None
        recent = [it for it in (before.recent if before else ()) if it[1] >= now - RECENT]
        return replace(
            document,
            recent=(*recent, (document.nonce, now)),
            extra=before.extra if before else {},
        )

    async def _put(self, name: str, document: MemoryValue) -> None:
        key = keys.memory(name)
        body = document.encode()
        sent = self._documents.sending(key)
        etag = await self._store.put(key, body)
        self._documents.wrote(key, body, etag, self._clock.now(), sent=sent)

    async def _write(self, name: str, document: MemoryValue, base: Object | None) -> None:
        mine = partial(_carries, document.nonce)
        await self._writer.write(
            keys.memory(name), document.encode, mine, base.etag if base else None
        )

    def _version(self, name: str, agent: AgentId) -> str:
        """Return the key of a new version, which is written there by all its attempts."""
        leaf = keys.AppendLeaf(self._clock.stamp(), agent, fresh()[:8])
        return f"{keys.history(name)}{leaf}.json"

    async def _keep(self, key: str, name: str, document: MemoryValue) -> None:
        await self._store.put(key, replace(document, key=name, recent=()).encode())

    async def _keep_now_or_later(self, name: str, agent: AgentId, document: MemoryValue) -> None:
        # The value is there and acknowledged; a version that is missing must not deny it.
        keep = partial(self._keep, self._version(name, agent), name, document)
        try:
            await keep()
        except StoreError as error:
            log.info("memory/%s is written, and its version not yet: %s", name, error)
            self._later(keep)


def _parsed(found: Object | None) -> MemoryValue | None:
    try:
        return MemoryValue.parse(found.body) if found else None
    except Malformed:
        return None  # some other tool's object: a new value replaces it


def value_of(found: Object) -> Value:
    """Return the value in an object; raises Malformed."""
    return Value(MemoryValue.parse(found.body).content(), found.modified)


def value_setter(found: Object | None) -> str:
    """Return who set a value, or `another tool` where the object does not say."""
    try:
        return MemoryValue.parse(found.body).set_by if found else "another tool"
    except Malformed:
        return "another tool"


def _carries(nonce: str | None, found: Object) -> bool:
    try:
        document = MemoryValue.parse(found.body)
    except Malformed:
        return False
    return nonce is not None and (
        document.nonce == nonce or any(it == nonce for it, _ in document.recent)
    )


def _accounts_for(current: Object | None, base: MemoryValue | None) -> bool:
    """Tell whether `current` would hold the nonce of an append that landed on `base`.

    Only a chain of tcfs's own writes since `base` is sure to have kept it (explored exhaustively).
    """
    return (
        current is not None
        and base is not None
        and base.nonce is not None
        and _carries(base.nonce, current)
    )
