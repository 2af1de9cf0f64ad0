"""What every act on a step needs, and the few writes they are made of."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

from tcfs.project._clock import Clock
from tcfs.project._conditional import Lost, Writer
from tcfs.project._documents import Documents
from tcfs.project._journal import Journal
from tcfs.project._tenures import Tenures
from tcfs.project._together import together
from tcfs.project.steps._look import Look, of_objects, parse_claim
from tcfs.stores import ETag, Object
from tcfs.wire import Malformed, keys
from tcfs.wire.documents import Claim, Handoff, State, Status
from tcfs.wire.ids import StepId, fresh


@final
@dataclass(frozen=True, slots=True)
class Context:
    """The bucket as one mount acts on it."""

    documents: Documents
    writer: Writer
    clock: Clock
    journal: Journal
    host: str
    mount: str
    tenures: Tenures
    lease: int  # seconds that a claim lives without being renewed; 0: for ever
    deadline: float  # seconds that an operation may take

    @property
    def conditional_delete(self) -> bool:
        """Whether the store deletes only what it is told; a mount may find out later."""
        return self.documents.store.capabilities.delete

    async def look(self, step: StepId, *, max_age: float = 0.0) -> Look:
        """Read claim and status together; either order was explored. Raises what a get raises."""
        status, claim = await together(
            lambda: self.documents.read(keys.status(step), max_age=max_age),
            lambda: self.documents.read(keys.claim(step), max_age=max_age),
        )
        seen = self.seen(claim, status)
        if seen.claim is None or seen.claim.lease is None or self.clock.earliest() is not None:
            return seen
        await self.clock.ask(self.documents.store)  # a mount knows by its heartbeats
        return self.seen(claim, status)

    def seen(self, claim: Object | None, status: Object | None) -> Look:
        """Return the look at a step whose two objects are at hand."""
        return of_objects(claim, status, self.tenures.ran_out)

    async def put_claim(self, step: StepId, claim: Claim, base: ETag | None) -> Object:
        """Create or replace a claim; raises as `Writer.write`."""
        sent = self.clock.monotonic()
        written = await self.writer.write(
            keys.claim(step), claim.encode, _carries(Claim.parse, claim.nonce), base
        )
        if claim.result is not None or claim.released:
            self.tenures.forget(claim.id)
        elif claim.mount == self.mount:
            self.tenures.written(claim, sent)
        return written

    async def put_status(self, step: StepId, status: Status, base: ETag | None) -> Object:
        """Create or replace a status; raises as `Writer.write`."""
        return await self.writer.write(
            keys.status(step), status.encode, _carries(Status.parse, status.nonce), base
        )

    async def put_handoff(self, step: StepId, handoff: Handoff, base: ETag | None) -> Object:
        """Create or replace a handoff record; raises as `Writer.write`."""
        return await self.writer.write(
            keys.handoff(step), handoff.encode, _carries(Handoff.parse, handoff.nonce), base
        )

    async def remove_claim(self, step: StepId, claim: Claim, etag: ETag) -> None:
        """Delete the claim, or put a tombstone where the store has no conditional delete.

        Raises:
            Lost: another version of the same tenure is there.
            OutcomeUnknown, Unavailable, Denied, ReadOnly
        """

        def same_tenure(found: Object) -> bool:
            there = parse_claim(found)
            return there is not None and there.id == claim.id and not there.released

        if self.conditional_delete:
            await self.writer.delete(keys.claim(step), etag, same_tenure)
        else:
            tombstone = replace(
                claim, nonce=fresh(), lease=None, hold=False, result=None, released=True
            )
            try:
                await self.put_claim(step, tombstone, etag)
            except Lost as lost:
                if lost.current is not None and same_tenure(lost.current):
                    raise
        self.tenures.forget(claim.id)

    def status_of(
        self, claim: Claim, state: State, *, before: Status | None, note: str | None = None
    ) -> Status:
        """Return the status that a tenure writes, keeping what it does not know."""
        now = self.clock.iso()
        started = before.started_at if before and before.claim == claim.id else claim.claimed_at
        return Status(
            state=state,
            agent=claim.agent,
            started_at=started or now,
            completed_at=now if state is State.COMPLETE else None,
            claim=claim.id,
            generation=claim.generation,
            nonce=fresh(),
            note=note if note is not None else note_of(claim, before),
            extra=before.extra if before else {},
        )

    def pending_of(self, claim: Claim | None, agent: str, seen: Look) -> Status:
        """Return the status that gives a step back, or reopens it: the generation is kept."""
        return Status(
            state=State.PENDING,
            agent=agent,
            started_at=seen.status.started_at if seen.status else None,
            claim=claim.id if claim else None,
            generation=seen.generation,
            nonce=fresh(),
            extra=seen.status.extra if seen.status else {},
        )


def note_of(claim: Claim, status: Status | None) -> str | None:
    """Return the note of a claim's tenure; a status of another tenure has none for it."""
    return status.note if status and status.claim == claim.id and claim.id else None


def _carries(
    parse: Callable[[bytes], Claim | Status | Handoff], nonce: str | None
) -> Callable[[Object], bool]:
    def mine(found: Object) -> bool:
        try:
            return nonce is not None and parse(found.body).nonce == nonce
        except Malformed:
            return False

    return mine
