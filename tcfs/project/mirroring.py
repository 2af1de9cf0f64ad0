"""Mirroring one session into the bucket, every line once (protocol.md, mirror).

Parts never change. Which of them belong is decided by `meta.json` alone, and that is only ever
replaced as what it was when it was read: a part is written first, then meta that names it. So two
mirrors, a crash, or a lost answer leave a part too many, which nobody reads, and never a line
twice. Knows nothing of where the lines come from, or what was redacted.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final

import trio

from tcfs.project._conditional import Lost
from tcfs.project._merging import part_key
from tcfs.project._metas import Metas, unique_in
from tcfs.project._mirrored import (
    Begun,
    Standing,
    next_seq,
    standing,
    standing_after,
    with_part,
)
from tcfs.project.errors import Busy, Invalid, Missing
from tcfs.project.sessions import Session
from tcfs.project.steps import SHORTEST, Context
from tcfs.stores import ETag, Object, StoreError, Unsupported
from tcfs.stores.deadline import within
from tcfs.wire import keys
from tcfs.wire.documents import Lease
from tcfs.wire.ids import AgentId, fresh
from tcfs.wire.sessions import Owner, Part, SessionMeta

__all__ = ["Begun", "Ended", "Flush", "Mirroring", "Mirrors", "Origin", "Owned"]

log: Final = logging.getLogger(__name__)
PART: Final = 1 << 20  # bytes of a part before redaction: sessions.md; a longer line is one, too
MANY: Final = 256  # parts: above that they are merged
LEASE: Final = 90  # seconds at most: who comes after one that died waits for so long
TRIES: Final = 3


@final
class Owned(Exception):
    """Another mirrors this session. `left` is in how many seconds that may be over."""

    def __init__(self, session: Session, owner: Owner, left: float) -> None:
        who = " on ".join(filter(None, (owner.agent, owner.host))) or "another mirror"
        super().__init__(f"{session} is mirrored by {who}")
        self.owner = owner
        self.left = left


@final
class Ended(Exception):
    """Somebody said that the mirroring of this session is over."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a session comes from, as its meta tells."""

    source_path: str | None = None
    cwd: str | None = None
    agent_id: AgentId | None = None
    parent_session_id: str | None = None
    client: Any = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """Whole lines, as they are to be stored, and where the source goes on after them.

    `restarted`: the source is not what it was, and these lines are its first. `positions` is the
    same place and the one before it for people, as the harness counts.
    """

    lines: bytes
    cursor: Any
    source_bytes: int
    positions: tuple[Any, Any] | None = None
    redactions: Mapping[str, int] | None = None
    restarted: bool = False


@final
@dataclass(frozen=True, slots=True)
class _Base:
    """What the next write of meta replaces."""

    etag: ETag | None
    standing: Standing
    claimed: bool  # whether what is there names this mirror as the owner, since an epoch of its

    @property
    def meta(self) -> SessionMeta:
        return self.standing.meta


@final
class Mirrors:
    """The mirrored sessions of a project, for those that write them."""

    def __init__(self, context: Context, *, agent: AgentId) -> None:
        self._metas = Metas(context, agent)

    def check(self) -> None:
        """Raise Unsupported where the store replaces objects without comparing."""
        store = self._metas.store
        can = store.capabilities
        if not (can.create and can.replace):
            raise Unsupported(
                f"{store.url} replaces objects without comparing, so two mirrors could store "
                "a line twice, or lose one; transcripts are mirrored to other stores only"
            )

    def of(self, session: Session, origin: Origin) -> "Mirroring":
        """Return the mirror of a session, which has asked for nothing yet.

        Raises:
            Unsupported: as `check` does.
            Invalid: a session cannot be called so.
        """
        self.check()
        if not (keys.is_session_name(session.harness) and keys.is_session_name(session.id)):
            raise Invalid(f"{session} cannot be a path in a bucket; it is not mirrored")
        return Mirroring(self._metas, session, origin)

    async def compact(self, session: Session, *, keep_tail: int = 0) -> tuple[int, int]:
        """Merge the parts of a session, all but the last; return how many there were, and are.

        Whoever mirrors it goes on. Raises Missing, Invalid, Busy, and as a put does.
        """
        for _ in range(TRIES):
            meta, etag = await self._metas.read(session)
            done = await self._metas.merge(session, meta, etag, keep_tail)
            if done is not None:
                return len(meta.parts or ()), len(done[1].parts or ())
        raise Busy(f"{session} kept changing while it was merged; try again")

    async def stop(self, session: Session) -> bool:
        """Say that the mirroring of a session is over; return whether that is new.

        Whoever mirrors it notices at its next line. Raises Missing, Invalid, Busy, and as a put
        does.
        """
        for _ in range(TRIES):
            meta, etag = await self._metas.read(session)
            if meta.ended_at is not None:
                return False
            owner = Owner.of(meta.owner)
            over = replace(
                meta,
                ended_at=self._metas.clock.iso(),
                nonce=fresh(),
                owner=replace(owner, lease=None).member() if owner else meta.owner,
            )
            try:
                await self._metas.write(session, over, etag)
            except Lost:
                continue
            return True
        raise Busy(f"{session} kept changing while it was ended; try again")


@final
class Mirroring:
    """One mirror of one session; what has been stored is only ever added to."""

    def __init__(self, metas: Metas, session: Session, origin: Origin) -> None:
        self.session: Final = session
        self._metas = metas
        self._origin = origin
        self._id = fresh()
        self._base: _Base | None = None  # None: to be read
        self._until = -math.inf  # trio time by which the lease has surely ended, if nobody stores

    def of_agent(self, agent: AgentId) -> None:
        """Say from now on that this agent is in the session."""
        self._origin = replace(self._origin, agent_id=agent)

    async def cursor(self) -> Any | Begun:
        """Return where the source is to be read on; None: from its beginning.

        Raises:
            Owned: another mirrors it.
            Invalid, and what a get raises.
        """
        if self._base is None:
            self._base = await self._look()
        return self._base.standing.cursor

    async def flush(self, flush: Flush) -> bool:
        """Store lines that were read from `cursor`; false: it has moved, read again from there.

        Raises:
            Ended: somebody said that it is over.
            OutcomeUnknown: they may be stored; the next `cursor` tells.
            Invalid, Denied, ReadOnly, Unavailable
        """
        if self._base is None:
            return False
        base, self._base = self._base, None  # whatever goes wrong, it is read again
        # Before the epoch is raised, or a part would be deleted that the raised meta names.
        listed = [] if base.claimed else await self._listed()
        meta = self._next(base, flush)
        assert meta.parts
        key = part_key(keys.session(*self.session), meta.parts[-1])
        metas = self._metas
        with within(metas.deadline):
            # No other write is ever to this key, so a repeated one changes nothing.
            await metas.store.put(key, flush.lines)
        self._until = trio.current_time() + metas.deadline + self._seconds
        try:
            written = await metas.write(self.session, meta, base.etag)
        except Lost as lost:
            await metas.delete([key], but=metas.named(self.session, lost.current))
            await self._go_on(base, lost.current)
            return False
        self._until = trio.current_time() + self._seconds
        there = metas.parse(self.session, written)
        await metas.delete(listed, but=metas.named(self.session, written))
        # Our answer may have got lost, and the reference come after: it keeps our nonce.
        after = standing_after(there, meta)
        self._base = _Base(written.etag, after, claimed=self._is_mine(there))
        await self._merge_many()
        return True

    async def release(self) -> None:
        """Let another go on at once; raises what a get and a put raise."""
        if trio.current_time() > self._until:
            return
        try:
            # A flush that was cancelled, or failed, may have made this mirror the owner.
            base, self._base = self._base or await self._look(), None
        except (Owned, Invalid):  # it is another's, or nobody can go on from it
            return
        if base.etag is None or not self._is_mine(base.meta):
            return
        meta = replace(base.meta, nonce=fresh(), owner=self._owner(None).member())
        try:
            await self._metas.write(self.session, meta, base.etag)
        except Lost:
            log.info("%s changed while it was let go", self.session)

    # inside

    async def _look(self) -> _Base:
        metas = self._metas
        found = await metas.documents.read(keys.session_meta(*self.session))
        if found is None:
            return _Base(None, standing(SessionMeta()), claimed=False)
        meta = metas.parse(self.session, found)
        await self._check_free(meta, found.modified)
        return _Base(found.etag, standing(meta), claimed=False)

    async def _check_free(self, meta: SessionMeta, modified: int) -> None:
        owner = Owner.of(meta.owner)
        if owner is None or owner.id == self._id:
            return
        left = await self._metas.left(owner, meta, modified)
        if left > 0:
            raise Owned(self.session, owner, left)

    async def _go_on(self, base: _Base, current: Object | None) -> None:
        """Take note of what was there instead of what this mirror wrote last."""
        if current is None:
            return
        meta = self._metas.parse(self.session, current)
        owner = Owner.of(meta.owner)
        # The reference says so whenever a mirror of its own ends, and leaves the owner as it was.
        let_go = owner is not None and owner.lease is None
        if meta.ended_at is not None and base.meta.ended_at is None and let_go:
            raise Ended(f"{self.session}: its mirroring was ended at {meta.ended_at}")
        if owner is not None and owner.id != self._id:
            return  # the next look tells until when
        after = standing_after(meta, base.meta) if base.claimed else standing(meta)
        claimed = base.claimed and self._is_mine(meta) and meta.epoch == base.meta.epoch
        self._base = _Base(current.etag, after, claimed=claimed)

    def _is_mine(self, meta: SessionMeta) -> bool:
        owner = Owner.of(meta.owner)
        return owner is not None and owner.id == self._id

    @property
    def _seconds(self) -> int:
        metas = self._metas
        return max(min(LEASE, metas.lease or LEASE), math.ceil(SHORTEST * metas.deadline))

    def _owner(self, lease: Lease | None) -> Owner:
        metas = self._metas
        return Owner(
            id=self._id, agent=metas.agent, host=metas.host, mount=metas.mount, lease=lease
        )

    def _next(self, base: _Base, flush: Flush) -> SessionMeta:
        """Return meta with one more part, and this mirror as its owner."""
        meta, now = base.meta, self._metas.clock.iso()
        part = Part(
            seq=next_seq(meta),
            uuid=unique_in(meta),
            cursor_range=list(flush.positions) if flush.positions else None,
            source_bytes=flush.source_bytes,
            uploaded_bytes=len(flush.lines),
            redactions=dict(flush.redactions or {}),
            uploaded_at=now,
        )
        after = with_part(
            base.standing,
            part,
            cursor=flush.cursor,
            restarted=flush.restarted,
            counts=dict(flush.redactions or {}),
        )
        lease, origin = Lease(self._seconds, now), self._origin
        return replace(
            after,
            harness=self.session.harness,
            session_id=self.session.id,
            source_path=origin.source_path or meta.source_path,
            cwd=origin.cwd or meta.cwd,
            agent_id=origin.agent_id or meta.agent_id,
            parent_session_id=origin.parent_session_id or meta.parent_session_id,
            client=meta.client if origin.client is None else origin.client,
            started_at=meta.started_at or now,
            last_uploaded_at=now,
            ended_at=None,  # it goes on
            epoch=(meta.epoch or 0) + (not base.claimed),
            nonce=fresh(),
            owner=self._owner(lease).member(),
        )

    async def _merge_many(self) -> None:
        base = self._base
        if base is None or base.etag is None or len(base.meta.parts or ()) <= MANY:
            return
        self._base = None
        try:
            merged = await self._metas.merge(self.session, base.meta, base.etag, 0)
        except Missing as error:
            log.warning("%s", error)
            self._base = base
            return
        except StoreError as error:
            # The lines are stored; what there is now is read again before the next ones.
            log.info("the parts of %s were not merged: %s", self.session, error)
            return
        if merged is not None:
            etag, meta = merged
            after = standing_after(meta, replace(base.meta, parts=meta.parts))
            self._base = _Base(etag, after, claimed=self._is_mine(meta))

    async def _listed(self) -> list[str]:
        prefix = keys.session(*self.session)
        found: list[str] = []
        with within(self._metas.deadline):
            async for page in self._metas.store.list(prefix):
                found += [it.key for it in page if keys.part_leaf(it.key[len(prefix) :])]
        return found
