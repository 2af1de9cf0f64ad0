"""A step as it is in the bucket at one moment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from tcfs.project.steps._state import Effective, effective, is_of, is_stale
from tcfs.stores import ETag, Object
from tcfs.wire import Malformed
from tcfs.wire.documents import Claim, Status


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
    ran_out: bool = False  # whether the claim's lease had, by the store's clock

    @property
    def effective(self) -> Effective:
        """What the step is in."""
        return effective(self.claim, self.status, ran_out=self.ran_out)

    def effective_for(self, agent: str, tenure: str | None) -> Effective:
        """What the step is in for `agent`: its own lease may run out, it is its own until taken.

        `tenure` is the id of its claim, if that is known.
        """
        mine = self.claim is not None and is_of(self.claim, agent, tenure)
        return effective(self.claim, self.status, ran_out=self.ran_out and not mine)

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


def of_objects(
    claim: Object | None,
    status: Object | None,
    ran_out: Callable[[Claim | None, int], bool] = lambda claim, modified: False,
) -> Look:
    """Return the look at a step whose two objects are at hand; `ran_out` judges leases."""
    parsed = parse_claim(claim)
    return Look(
        claim=parsed,
        claim_etag=claim.etag if claim else None,
        claim_modified=claim.modified if claim else 0,
        status=parse_status(status),
        status_etag=status.etag if status else None,
        status_modified=status.modified if status else 0,
        ran_out=ran_out(parsed, claim.modified if claim else 0),
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
