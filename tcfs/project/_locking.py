"""The acts on one lock: taking it, keeping it, giving it back (protocol.md, Locks).

A lock is one object, and no status beside it exposes a create that lands late: sent, not answered
and repeated, it may arrive when the lock was given back already, and look held by one who was told
nothing. So a create with an unanswered attempt stays in the journal whatever came of it, and what
is won by a later attempt is renamed before anybody is told, so that the two are not confused.
"""

from dataclasses import dataclass, replace
from typing import Final, final

from tcfs.project._conditional import Encode, Lost
from tcfs.project._journal import Entry, Holding, Untold
from tcfs.project.errors import Held, Missing, NotAllowed, NotHolder
from tcfs.project.steps import Context
from tcfs.stores import ETag, Object, OutcomeUnknown, StoreError
from tcfs.wire import Malformed, keys
from tcfs.wire.ids import AgentId, LockId, fresh
from tcfs.wire.locks import Lock

TRIES: Final = 3  # of a write whose condition failed; each failure is somebody else's progress


@final
@dataclass(frozen=True, slots=True)
class Look:
    """A lock as it is in the bucket at one moment.

    `lock` is None where nobody has it, whatever lies there: a tombstone, or a write of this mount
    that is to be undone. `etag` is what lies there; None: nothing.
    """

    lock: Lock | None
    etag: ETag | None
    modified: int
    generation: int
    ran_out: bool  # whether its lease had, by the store's clock

    @property
    def holder(self) -> Lock | None:
        """The lock of whoever holds it at this moment."""
        return None if self.ran_out else self.lock

    def of(self, agent: AgentId, tenure: str | None) -> Lock | None:
        """Return the lock if `agent` holds it, lease apart; by the tenure `tenure`, if known.

        One's own may run out: it is one's own until another takes it.
        """
        lock = self.lock
        mine = lock is not None and lock.agent == agent and tenure in (None, lock.id)
        return lock if mine else None


async def look(context: Context, name: LockId, *, max_age: float = 0.0) -> Look:
    """Return a lock as it is. Raises what a get raises."""
    found = await context.documents.read(keys.lock(name), max_age=max_age)
    seen = judged(context, found)
    if seen.lock is None or seen.lock.lease is None or context.clock.earliest() is not None:
        return seen
    await context.clock.ask(context.documents.store)  # a mount knows by its heartbeats
    return judged(context, found)


def judged(context: Context, found: Object | None) -> Look:
    """Return the look at a lock whose object is at hand."""
    if found is None:
        return Look(None, None, 0, 0, ran_out=False)
    there = _parse(found)
    nobodys = there.released or context.journal.has(there.nonce)
    return Look(
        lock=None if nobodys else there,
        etag=found.etag,
        modified=found.modified,
        generation=there.generation,
        ran_out=context.tenures.ran_out(there, found.modified),
    )


async def take(
    context: Context, name: LockId, agent: AgentId, seen: Look, untold: Untold, seconds: float, *,
    hold: bool,
) -> Holding:  # fmt: skip
    """Take a lock that `seen` shows to be free, and return once it is surely won.

    Its lease has so many `seconds` (0: none); `hold` is whether it is bound to an open file. What
    is in `untold` is struck out by whoever tells.

    Raises:
        Held: another was quicker.
        OutcomeUnknown: it may have been taken; it is given back as soon as that shows.
        Unavailable, Denied, ReadOnly, Unsupported: not taken.
    """
    lock = Lock(
        agent=agent,
        locked_at=context.clock.iso(),
        id=(nonce := fresh()),
        nonce=nonce,
        generation=seen.generation + 1,
        lease=context.tenures.lease(seconds),
        hold=hold,
        host=context.host,
        mount=context.mount,
        best_effort=context.documents.store.capabilities.claims == "best-effort",
    )
    attempts = 0

    def encode(attempt: int) -> bytes:
        nonlocal attempts
        attempts = attempt
        return lock.encode(attempt)

    untold.enter(Entry(nonce, keys.lock(name), agent))
    try:
        written = await _put(context, name, lock, encode, seen.etag)
    except Lost as lost:
        if seen.etag is None and lost.unanswered:
            untold.leave()
        raise held(name, _parse(lost.current)) from None
    except OutcomeUnknown:
        raise
    except StoreError:
        untold.strike()
        raise
    # What was to replace a version arrives too late for good: no version ever comes back.
    if seen.etag is None and attempts > 1:
        await _tell_apart(context, name, lock, written.etag, untold)
    assert lock.id is not None
    return Holding(keys.lock(name), agent, lock.id, lock.lease.seconds if lock.lease else 0, hold)


async def _tell_apart(
    context: Context, name: LockId, lock: Lock, etag: ETag, untold: Untold
) -> None:
    """Give what was won another nonce than an earlier attempt at it, which may yet arrive."""
    untold.leave()
    renewed = replace(lock, nonce=(nonce := fresh()))
    untold.enter(Entry(nonce, keys.lock(name), AgentId(lock.agent)))
    try:
        await _put(context, name, renewed, renewed.encode, etag)
    except Lost as lost:
        raise held(name, _parse(lost.current)) from None
    except StoreError as error:
        raise OutcomeUnknown(
            f"locks/{name} was taken, and the store did not answer ({error}) before that was "
            "sure; it is given back in a moment, try again then"
        ) from error


async def renew(context: Context, holding: Holding) -> None:
    """Let the lease of a lock begin anew, as this mount's.

    Raises:
        NotHolder: it is held no more; nothing was written.
        OutcomeUnknown, Unavailable, Denied, ReadOnly
    """
    name = name_of(holding)
    for _ in range(TRIES):
        seen = await look(context, name)
        there = seen.of(holding.agent, holding.id)
        if there is None:
            raise not_holder(name, seen)
        renewed = replace(
            there,
            nonce=fresh(),
            lease=context.tenures.lease(holding.seconds),
            host=context.host,
            mount=context.mount,
        )
        try:
            await _put(context, name, renewed, renewed.encode, seen.etag)
        except Lost:
            continue
        return
    raise NotHolder(f"locks/{name} kept changing hands; look at locks/{name}/owner")


async def give_back(context: Context, name: LockId, agent: AgentId, tenure: str | None) -> None:
    """Give back the lock that `agent` has, by the tenure `tenure` if that is known.

    Raises:
        Missing: nobody has it.
        NotHolder: another has it.
        NotAllowed: it is bound to an open file.
        OutcomeUnknown, Unavailable, Denied, ReadOnly
    """
    seen = await look(context, name)
    there = seen.of(agent, tenure)
    if there is None:
        raise not_holder(name, seen)
    if there.hold:
        raise bound(name)
    await _release(context, name, there, seen.etag)


async def end(context: Context, holding: Holding) -> None:
    """Give back a tenure, bound or not, unless it ended otherwise; raises what a write raises."""
    name = name_of(holding)
    seen = await look(context, name)
    there = seen.of(holding.agent, holding.id)
    if there is not None:
        await _release(context, name, there, seen.etag)


async def undo(context: Context, name: LockId, nonce: str) -> None:
    """Give back what carries `nonce`, if that is there; raises what a write raises, and Lost."""
    found = await context.documents.read(keys.lock(name))
    there = _parse(found)
    if found is not None and there.nonce == nonce and not there.released:
        await _remove(context, name, there, found.etag)


async def _release(context: Context, name: LockId, lock: Lock, etag: ETag | None) -> None:
    for _ in range(TRIES):
        assert etag is not None
        try:
            await _remove(context, name, lock, etag)
        except Lost:
            seen = await look(context, name)
            if seen.lock is None or not _same_tenure(seen.lock, lock):
                return
            lock, etag = seen.lock, seen.etag
        else:
            return
    raise OutcomeUnknown(f"locks/{name} kept changing while it was given back; look at its owner")


async def _remove(context: Context, name: LockId, lock: Lock, etag: ETag) -> None:
    """Delete a version of a lock, or put a tombstone where there is no conditional delete.

    Raises:
        Lost: another version is there; with a delete, of the same tenure.
        OutcomeUnknown, Unavailable, Denied, ReadOnly
    """
    if context.conditional_delete:

        def ours(found: Object) -> bool:
            there = _parse(found)
            return _same_tenure(there, lock) and not there.released

        await context.writer.delete(keys.lock(name), etag, ours)
        context.tenures.forget(lock.id)
    else:
        tombstone = replace(lock, nonce=fresh(), lease=None, hold=False, released=True)
        await _put(context, name, tombstone, tombstone.encode, etag)


async def _put(
    context: Context, name: LockId, lock: Lock, encode: Encode, base: ETag | None
) -> Object:
    sent = context.clock.monotonic()

    def mine(found: Object) -> bool:
        return _parse(found).nonce == lock.nonce

    written = await context.writer.write(keys.lock(name), encode, mine, base)
    if lock.released:
        context.tenures.forget(lock.id)
    else:
        context.tenures.written(lock, sent)
    return written


def _parse(found: Object | None) -> Lock:
    """Return the lock in an object; one that nobody can read is held by `unknown`."""
    if found is None:
        return Lock(agent="another agent", released=True)
    try:
        return Lock.parse(found.body)
    except Malformed:
        return Lock(agent="unknown")


def _same_tenure(one: Lock, other: Lock) -> bool:
    # Another tool's may have no id.
    return (one.id, one.agent) == (other.id, other.agent)


def name_of(holding: Holding) -> LockId:
    """Return the lock that a holding is of."""
    name = keys.lock_of(holding.key)
    assert name is not None, holding.key
    return name


def held(name: LockId, lock: Lock) -> Held:
    """Return the refusal of taking a lock."""
    if lock.released:
        return Held(f"locks/{name} changed hands at this moment; try again")
    since = f" since {lock.locked_at}" if lock.locked_at else ""
    how = "closes it" if lock.hold else f"removes it: rmdir locks/{name}"
    return Held(f"locks/{name} is held by {lock.agent}{since}; it is free when its holder {how}")


def not_holder(name: LockId, seen: Look) -> Missing | NotHolder:
    """Return the refusal of an act that only the holder may do."""
    if seen.lock is None:
        return Missing(f"nobody has locks/{name}: mkdir locks/{name} takes it")
    if seen.ran_out:
        return NotHolder(f"locks/{name} was taken by {seen.lock.agent}, not by you")
    return NotHolder(f"locks/{name} is held by {seen.lock.agent}, not by you")


def bound(name: LockId) -> NotAllowed:
    """Return the refusal of giving back what an open file holds."""
    return NotAllowed(f"locks/{name} goes when whoever has it open closes it: exec 9>&-")
