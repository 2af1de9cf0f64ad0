"""The reads and writes that mirroring is made of: meta, compared as it is replaced, and parts."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, final

from tcfs.project._conditional import Lost
from tcfs.project._merging import merge, part_key
from tcfs.project.errors import Invalid, Missing
from tcfs.project.sessions import Session
from tcfs.project.steps import Context
from tcfs.stores import ETag, Object, StoreError
from tcfs.stores.deadline import within
from tcfs.wire import Malformed, keys
from tcfs.wire.documents import Lease
from tcfs.wire.ids import AgentId, fresh
from tcfs.wire.sessions import Owner, SessionMeta

log: Final = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class _Leased:
    """An owner, as the judge of leases takes it."""

    id: str | None
    nonce: str | None
    lease: Lease | None
    released: bool = False


@final
class Metas:
    """The metas of a project's sessions, and the parts they name, for those that write them."""

    def __init__(self, context: Context, agent: AgentId) -> None:
        self.documents = context.documents
        self.store = context.documents.store
        self.writer = context.writer
        self.clock = context.clock
        self.tenures = context.tenures
        self.agent = agent
        self.host = context.host
        self.mount = context.mount
        self.journal = context.journal
        self.lease = context.lease  # of a claim; 0: that has no end
        self.deadline = context.deadline

    async def read(self, session: Session) -> tuple[SessionMeta, ETag]:
        found = await self.documents.read(keys.session_meta(*session))
        if found is None:
            raise Missing(f"{session} has no meta.json; `tcfs session list` shows what there is")
        return self.parse(session, found), found.etag

    def parse(self, session: Session, found: Object) -> SessionMeta:
        """Return what meta says; raises Invalid for one that nobody could go on from."""
        try:
            meta = SessionMeta.parse(found.body)
        except Malformed as error:
            raise Invalid(f"{session}/meta.json cannot be read ({error}); remove it") from None
        if meta.parts is None:
            raise Invalid(f"{session}/meta.json: its parts cannot be read; remove it")
        return meta

    def named(self, session: Session, found: Object | None) -> frozenset[str]:
        """Return the keys of the parts that meta names; raises Invalid if nobody can tell."""
        parts = self.parse(session, found).parts or () if found else ()
        return frozenset(part_key(keys.session(*session), it) for it in parts)

    async def write(self, session: Session, meta: SessionMeta, base: ETag | None) -> Object:
        """Create or replace meta; raises as `Writer.write`."""

        def mine(found: Object) -> bool:
            return meta.nonce is not None and _nonce(found) == meta.nonce

        with within(self.deadline):
            key = keys.session_meta(*session)
            return await self.writer.write(key, meta.encode, mine, base)

    async def delete(self, spare: Collection[str], but: Collection[str] = ()) -> None:
        """Delete parts that nobody needs; one that stays is swept by the next owner."""
        try:
            for key in spare:
                if key not in but:
                    with within(self.deadline):
                        await self.store.delete(key)
        except StoreError as error:
            log.info("a part that nobody needs stays for now: %s", error)

    async def left(self, owner: Owner, meta: SessionMeta, modified: int) -> float:
        """Return in how many seconds an owner's lease has run out; not above 0: it has.

        That of a mount of this host which is surely no more is over with it.
        """
        if owner.lease is None:
            return 0.0
        if owner.host == self.host and self.journal.is_gone(owner.mount or ""):
            return 0.0
        await self.clock.ask(self.store)
        left = self.tenures.left(_Leased(owner.id, meta.nonce, owner.lease), modified)
        return float(owner.lease.seconds) if left is None else left

    async def merge(
        self, session: Session, meta: SessionMeta, etag: ETag, keep_tail: int
    ) -> tuple[ETag, SessionMeta] | None:
        """Merge the parts of this version of meta, and return the next; None if it was changed."""
        key = partial(part_key, keys.session(*session))
        unique = partial(unique_in, meta)
        merged = await merge(self.store, key, unique, self.clock.iso(), meta, keep_tail)
        if merged is None:
            return etag, meta
        after = replace(merged.meta, nonce=fresh())
        try:
            written = await self.write(session, after, etag)
        except Lost as lost:
            await self.delete(merged.written, but=self.named(session, lost.current))
            return None
        there = self.parse(session, written)
        await self.delete(merged.spare, but=self.named(session, written))
        return written.etag, there


def _nonce(found: Object) -> str | None:
    try:
        return SessionMeta.parse(found.body).nonce
    except Malformed:
        return None


def unique_in(meta: SessionMeta) -> str:
    """Return eight digits that no part of a session has."""
    taken = {it.uuid for it in meta.parts or ()}
    while (uuid := fresh()[:8]) in taken:
        pass
    return uuid
