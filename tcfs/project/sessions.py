"""Mirrored sessions, as they are read: what there is, and the parts that make a transcript.

`meta.json` decides which parts belong; parts never change (protocol.md, mirror). Where it cannot
be followed, the listing is, by sequence number, as the reference reads.
"""

import logging
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final, NamedTuple, final

import trio

from tcfs.project._documents import Documents
from tcfs.project._together import all_of, together
from tcfs.project.agents import SURE
from tcfs.project.errors import Missing
from tcfs.stores import Buffer, Entry, ETag, NotFound, Object
from tcfs.wire import Malformed, keys
from tcfs.wire.sessions import SessionMeta
from tcfs.wire.times import iso, nanoseconds

log: Final = logging.getLogger(__name__)
KNOWN: Final = 64  # transcripts whose parts are remembered
AT_ONCE: Final = 16  # requests of one read
MEASURED: Final = 256  # sessions whose meta is held at once: each names all of its parts


class Session(NamedTuple):
    """Which session: the harness it ran in, and its id there."""

    harness: str
    id: str

    def __str__(self) -> str:
        """Return the path of the session's directory."""
        return f"sessions/{self.harness}/{self.id}"


@final
class Gone(Exception):
    """A part of a transcript is gone: it was merged, and meta names another, or it is lost."""


@final
class Transcript:
    """The parts of a session in their order, at one moment. `modified` is in ns since 1970."""

    __slots__ = ("ends", "generation", "modified", "parts")

    def __init__(
        self, parts: Sequence[Entry], *, modified: int = 0, generation: int | None = None
    ) -> None:
        self.parts: Final = tuple(parts)
        self.ends: Final = tuple(accumulate(it.size for it in parts))
        self.modified: Final = max((it.modified for it in parts), default=modified)
        self.generation: Final = generation

    @property
    def size(self) -> int:
        """The size of the whole, in bytes."""
        return self.ends[-1] if self.ends else 0

    def cut(self, offset: int, limit: int) -> int:
        """Return where to end a range that begins at `offset`: with a part, if one ends in it."""
        index = bisect_right(self.ends, limit) - 1
        return self.ends[index] if index >= 0 and self.ends[index] > offset else limit

    def pieces(self, offset: int, size: int) -> Iterator[tuple[str, int, int]]:
        """Yield the key, the offset in it and the length of what lies in a range of bytes."""
        index = bisect_right(self.ends, offset)
        while size > 0 and index < len(self.parts):
            part, end = self.parts[index], self.ends[index]
            length = min(size, end - offset)
            if length:
                yield part.key, part.size - (end - offset), length
            offset += length
            size -= length
            index += 1


@final
@dataclass(frozen=True, slots=True)
class Totals:
    """What all sessions come to. `last_uploaded_at` is None where there is none."""

    count: int
    uploaded_bytes: int
    last_uploaded_at: str | None


@final
@dataclass(frozen=True, slots=True)
class _Seen:
    transcript: Transcript
    etag: ETag | None  # of the meta that names these parts; None: the listing decided
    asked: float  # trio time before the listing


@final
@dataclass(slots=True)
class _Parts:
    """What the parts of a session come to, of which there may be any number."""

    size: int = 0
    modified: int = 0

    def add(self, part: Entry) -> None:
        self.size += part.size
        self.modified = max(self.modified, part.modified)


@final
class Sessions:
    """The mirrored sessions of a project."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._store = documents.store
        self._seen: OrderedDict[Session, _Seen] = OrderedDict()

    # what there is

    async def harnesses(self) -> Sequence[str]:
        """Return the harnesses that have a session; one listing."""
        names, _ = await self._store.list_dir(keys.SESSIONS)
        return [name for name in names if keys.is_session_name(name)]

    async def of(self, harness: str) -> Sequence[str]:
        """Return the ids of a harness's sessions; one listing."""
        names, _ = await self._store.list_dir(keys.harness(harness))
        return [name for name in names if keys.is_session_name(name)]

    async def has_harness(self, name: str) -> bool:
        """Tell whether a harness has a session."""
        return keys.is_session_name(name) and await self._store.any_under(keys.harness(name))

    async def has(self, session: Session) -> bool:
        """Tell whether there is anything of a session."""
        if not keys.is_session_name(session.id):
            return False
        # Most have meta, which whoever goes on asks for next.
        meta, prefix = keys.session_meta(*session), keys.session(*session)
        age = SURE if self._documents.has(meta) else 0.0
        if await self._documents.read(meta, max_age=age) is not None:
            return True
        return await self._store.any_under(prefix)

    async def meta(self, session: Session, *, max_age: float = 0.0) -> Object:
        """Return the exact object that says what is known of a session; raises Missing."""
        found = await self._documents.read(keys.session_meta(*session), max_age=max_age)
        if found is None:
            raise Missing(f"{session} has no meta.json")
        return found

    async def parts(self, session: Session) -> Sequence[Entry]:
        """Return the objects of all parts, whether they belong or not; one listing."""
        return await self._listed(session)

    async def totals(self) -> Totals:
        """Return what all sessions come to: one listing, and every meta that changed since."""
        metas: dict[Session, Entry] = {}
        parts: dict[Session, _Parts] = {}
        async for page in self._store.list(keys.SESSIONS):
            for entry in page:
                names = entry.key.split("/")
                if len(names) != 4 or not all(map(keys.is_session_name, names)):
                    continue
                session = Session(names[1], names[2])
                if names[3] == "meta.json":
                    metas[session] = entry
                elif keys.part_leaf(names[3]):
                    parts.setdefault(session, _Parts()).add(entry)
        size, last = 0, 0
        sessions = list(metas.keys() | parts.keys())
        for begin in range(0, len(sessions), MEASURED):
            some = sessions[begin : begin + MEASURED]
            objects = await self._documents.read_many(metas[it] for it in some if it in metas)
            for session in some:
                found = objects.get(keys.session_meta(*session))
                meta = _parse(session, found) if found else None
                lies = parts.get(session, _Parts())
                size += meta.total_uploaded_bytes if meta else lies.size
                uploaded = nanoseconds(meta.last_uploaded_at) if meta else None
                last = max(last, uploaded or lies.modified)
        return Totals(len(sessions), size, iso(last) if last else None)

    async def every(self, harness: str | None = None) -> list[tuple[Session, SessionMeta]]:
        """Return what is known of all sessions, or a harness's: one listing, and every meta."""
        metas: dict[str, Entry] = {}
        prefix = keys.harness(harness) if harness else keys.SESSIONS
        async for page in self._store.list(prefix):
            metas |= {it.key: it for it in page if it.key.endswith("/meta.json")}
        found: list[tuple[Session, SessionMeta]] = []
        entries = [it for it in metas.values() if it.key.count("/") == 3]
        for begin in range(0, len(entries), MEASURED):
            objects = await self._documents.read_many(entries[begin : begin + MEASURED])
            for key, object in sorted(objects.items()):
                session = Session(*key.split("/")[1:3])
                if (meta := _parse(session, object)) is not None:
                    found.append((session, meta))
        return found

    # a transcript

    async def transcript(self, session: Session, *, max_age: float = 0.0) -> Transcript:
        """Return a session's transcript as it was at some moment after `max_age` seconds ago.

        One conditional get of meta; a listing where that changed, from the last known part on
        where it only grew. Raises Missing where there is neither meta nor a part.
        """
        seen, asked, after = self._seen.get(session), trio.current_time(), None
        if seen is None:
            meta, entries = await together(
                lambda: self._meta(session, max_age), lambda: self._listed(session)
            )
        else:
            meta = await self._meta(session, max_age)
            if _still(seen, meta, asked, max_age):
                if session in self._seen:  # nobody forgot it meanwhile
                    self._seen.move_to_end(session)
                return seen.transcript
            after = seen.transcript.parts[-1].key if seen.etag and seen.transcript.parts else None
            entries = await self._listed(session, after)
            if after is not None:
                entries = [*seen.transcript.parts, *entries]
        found = await self._assembled(session, meta, entries, grown=after is not None)
        if found is None:
            self._seen.pop(session, None)
            raise Missing(f"{session} has no transcript; `ls sessions` shows what there is")
        transcript, etag = found
        self._seen[session] = _Seen(transcript, etag, asked)
        self._seen.move_to_end(session)
        while len(self._seen) > KNOWN:
            self._seen.popitem(last=False)
        return transcript

    def forget(self, session: Session) -> None:
        """Take note that the parts of a session are not what they were."""
        self._seen.pop(session, None)

    async def read(self, transcript: Transcript, offset: int, size: int) -> Sequence[Buffer]:
        """Return a range of a transcript, in pieces; raises Gone, and as a get does.

        There are fewer bytes at its end. Whatever number of parts it lies in, they are asked for
        together.
        """
        pieces = [partial(self._piece, *it) for it in transcript.pieces(offset, size)]
        return await all_of(pieces, AT_ONCE)

    async def _piece(self, key: str, offset: int, length: int) -> Buffer:
        try:
            body = (await self._store.get_range(key, offset, length)).body
        except NotFound:
            raise Gone(f"{key} is gone") from None
        if len(body) != length:
            raise Gone(f"{key} is not what was listed")
        return body

    async def _meta(self, session: Session, max_age: float) -> Object | None:
        return await self._documents.read(keys.session_meta(*session), max_age=max_age)

    async def _listed(self, session: Session, after: str | None = None) -> list[Entry]:
        prefix = keys.session(*session)
        found: list[tuple[keys.PartLeaf, Entry]] = []
        async for page in self._store.list(prefix, start_after=after):
            for entry in page:
                leaf = keys.part_leaf(entry.key[len(prefix) :])
                if leaf is not None:
                    found.append((leaf, entry))
        return [entry for _, entry in sorted(found, key=lambda it: it[0])]

    async def _assembled(
        self, session: Session, meta: Object | None, entries: list[Entry], *, grown: bool
    ) -> tuple[Transcript, ETag | None] | None:
        """Return the transcript, and the ETag of the meta that names its parts.

        None for the ETag: the listing decided. None for both: there is nothing. `grown`: the
        entries are what was known, and what has come after it.
        """
        after = False  # whether the listing was made after meta was read
        while True:
            document = _parse(session, meta) if meta else None
            named = document.newest() if document else None
            ours = document is not None and document.nonce is not None
            if meta is None or document is None or named is None or not (named or ours):
                entries = await self._listed(session) if grown and not after else entries
                if meta is None and not entries:
                    return None
                return Transcript(entries, modified=meta.modified if meta else 0), None
            at = {it.key.rpartition("/")[2]: it for it in entries}
            there = [at.get(str(keys.PartLeaf(it.seq, it.uuid))) for it in named]
            parts = [it for it in there if it is not None]
            if len(parts) == len(named):
                made = Transcript(parts, modified=meta.modified, generation=document.generation)
                return made, meta.etag
            before, meta = meta, await self._meta(session, 0.0)
            if after and meta is not None and meta.etag == before.etag:
                log.info("%s: %d parts are lost", session, len(named) - len(parts))
                # The reference reads what is listed, so its merged parts may hold what is lost.
                left = parts if ours else entries
                made = Transcript(left, modified=meta.modified, generation=document.generation)
                return made, None
            entries, after = await self._listed(session), True


def _still(seen: _Seen, meta: Object | None, now: float, max_age: float) -> bool:
    """Tell whether what was seen is what there is; if a listing decided, was `max_age` ago."""
    if seen.etag is None:
        return max_age > 0 and now - seen.asked <= max_age
    return meta is not None and meta.etag == seen.etag


def _parse(session: Session, found: Object) -> SessionMeta | None:
    try:
        return SessionMeta.parse(found.body)
    except Malformed as error:
        log.info("%s/meta.json: %s", session, error)
        return None
