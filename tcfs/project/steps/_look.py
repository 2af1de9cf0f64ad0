"""A step as it is in the bucket at one moment."""

from dataclasses import dataclass
from typing import final

from tcfs.project._documents import Documents
from tcfs.project._together import together
from tcfs.project.steps._state import Effective, effective, is_stale
from tcfs.stores import ETag, Object
from tcfs.wire import Malformed, keys
from tcfs.wire.documents import Claim, Status
from tcfs.wire.ids import StepId


@final
@dataclass(frozen=True, slots=True)
class Look:
    """A step's claim and status, read together, with the versions they were read at.

    A foreign object that is no document reads as `unreadable` by nobody we know: it holds the
    step, and its ETag lets nobody but a conditional write of ours replace it.
    """

    claim: Claim | None
    claim_etag: ETag | None
    claim_modified: int
    status: Status | None
    status_etag: ETag | None
    status_modified: int

    @property
    def effective(self) -> Effective:
        """What the step is in. No lease is judged to have run out: nothing here keeps time."""
        return effective(self.claim, self.status, ran_out=False)

    @property
    def has_claim(self) -> bool:
        """Whether the claim is one that counts: no tombstone, and not one that landed late."""
        return (
            self.claim is not None
            and not self.claim.released
            and not is_stale(self.claim, self.status)
        )

    @property
    def modified(self) -> int:
        """When either was last written, in nanoseconds since 1970; 0 if there is neither."""
        return max(self.claim_modified, self.status_modified)

    @property
    def generation(self) -> int:
        """The highest generation that either names."""
        return max(
            self.claim.generation if self.claim else 0,
            self.status.generation if self.status else 0,
        )


async def look(documents: Documents, step: StepId, *, max_age: float = 0.0) -> Look:
    """Read claim and status together; either order was explored. Raises what a get raises."""
    status, claim = await together(
        lambda: documents.read(keys.status(step), max_age=max_age),
        lambda: documents.read(keys.claim(step), max_age=max_age),
    )
    return of_objects(claim, status)


def of_objects(claim: Object | None, status: Object | None) -> Look:
    """Return the look at a step whose two objects are at hand."""
    return Look(
        claim=parse_claim(claim),
        claim_etag=claim.etag if claim else None,
        claim_modified=claim.modified if claim else 0,
        status=parse_status(status),
        status_etag=status.etag if status else None,
        status_modified=status.modified if status else 0,
    )


def parse_claim(found: Object | None) -> Claim | None:
    """Return the claim in an object; one that nobody can read is held by `unknown`."""
    if found is None:
        return None
    try:
        return Claim.parse(found.body)
    except Malformed:
        return Claim(agent="unknown")


def parse_status(found: Object | None) -> Status | None:
    """Return the status in an object; one that nobody can read says nothing."""
    if found is None:
        return None
    try:
        return Status.parse(found.body)
    except Malformed:
        return Status(state=None, agent="unknown", foreign=True)
