"""The coordination documents: steps and agents. Memory and mail have files of their own.

Every class reads what any version of the reference writes, tolerates what is missing, and keeps
in `extra` the members it does not know, so that replacing a document loses nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Self, final

from tcfs.wire import json
from tcfs.wire._errors import Malformed
from tcfs.wire._members import number, others, present, text


@final
class State(Enum):
    """What a step can be in. The values are the words in the bucket and in `status`."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    BLOCKED = "blocked"
    NEEDS_REVIEW = "needs_review"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether the step is finished: nobody takes it over, whatever the lease."""
        return self not in (State.PENDING, State.IN_PROGRESS)

    @classmethod
    def parse(cls, word: str | None) -> "State | None":
        """Return the state `word` names (case and `-` or `_` do not matter); else None."""
        try:
            return cls((word or "").strip().lower().replace("-", "_"))
        except ValueError:
            return None


@final
@dataclass(frozen=True, slots=True)
class Lease:
    """How long a claim lives after it was last written. `renewed_at` is for people."""

    seconds: int
    renewed_at: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """`claim.json`. The reference writes `agent` and `claimed_at` only."""

    agent: str
    claimed_at: str | None = None
    id: str | None = None  # one a tenure
    nonce: str | None = None  # one a write
    generation: int = 0
    lease: Lease | None = None
    host: str | None = None
    mount: str | None = None
    result: State | None = None  # once finished
    released: bool = False  # a tombstone, on stores without conditional delete
    hold: bool = False  # it lives no longer than a file that somebody has open
    best_effort: bool = False  # another may have won as well: the store decides no race
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a claim; raises Malformed."""
        document = json.load_object(body)
        lease = document.get("lease")
        return cls(
            agent=text(document, "agent") or "unknown",
            claimed_at=text(document, "claimed_at"),
            id=text(document, "id"),
            nonce=text(document, "nonce"),
            generation=number(document, "generation"),
            lease=Lease(number(lease, "seconds"), text(lease, "renewed_at") or "")
            if isinstance(lease, dict)
            else None,
            host=text(document, "host"),
            mount=text(document, "mount"),
            result=State.parse(text(document, "result")),
            released=document.get("released") is True,
            hold=document.get("hold") is True,
            best_effort=document.get("best_effort") is True,
            extra=others(document, _CLAIM),
        )

    def encode(self, attempt: int = 1) -> bytes:
        """Return the document; `attempt` makes no two attempts have the same ETag."""
        lease = self.lease and {"seconds": self.lease.seconds, "renewed_at": self.lease.renewed_at}
        return json.dump(
            {
                "agent": self.agent,
                "claimed_at": self.claimed_at,
                **present(id=self.id, nonce=self.nonce, attempt=attempt if attempt > 1 else None),
                "generation": self.generation,
                "lease": lease,
                **present(
                    host=self.host,
                    mount=self.mount,
                    result=self.result and self.result.value,
                    released=self.released or None,
                    hold=self.hold or None,
                    best_effort=self.best_effort or None,
                ),
                **self.extra,
            }
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """`status.json`. Only the reference leaves the member `claim` out: `foreign` tells."""

    state: State | None
    agent: str
    started_at: str | None = None
    completed_at: str | None = None
    claim: str | None = None  # the tenure's id
    foreign: bool = False  # the member `claim` is missing
    generation: int = 0
    nonce: str | None = None
    note: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a status; raises Malformed."""
        document = json.load_object(body)
        return cls(
            state=State.parse(text(document, "status")),
            agent=text(document, "agent") or "unknown",
            started_at=text(document, "started_at"),
            completed_at=text(document, "completed_at"),
            claim=text(document, "claim"),
            foreign="claim" not in document,
            generation=number(document, "generation"),
            nonce=text(document, "nonce"),
            note=text(document, "note"),
            extra=others(document, _STATUS),
        )

    def encode(self, attempt: int = 1) -> bytes:
        """Return the document; `attempt` makes no two attempts have the same ETag."""
        return json.dump(
            {
                "status": self.state.value if self.state else "unknown",
                "agent": self.agent,
                **present(started_at=self.started_at, completed_at=self.completed_at),
                "claim": self.claim,
                "generation": self.generation,
                **present(nonce=self.nonce, attempt=attempt if attempt > 1 else None),
                **present(note=self.note),
                **self.extra,
            }
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """`handoff.json`, schema 2; schema 1 (0.2.0) is read as well."""

    from_agent: str
    from_step: str
    next_agent: str | None = None
    state: str | None = None
    next_action: str | None = None
    note: str = ""
    created_at: str | None = None
    claim: str | None = None
    generation: int = 0
    nonce: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a handoff record; raises Malformed."""
        document = json.load_object(body)
        return cls(
            from_agent=text(document, "from_agent") or "unknown",
            from_step=text(document, "from_step") or "",
            next_agent=text(document, "next_agent"),
            state=text(document, "state"),
            next_action=text(document, "next_action"),
            note=text(document, "note") or "",
            created_at=text(document, "created_at"),
            claim=text(document, "claim"),
            generation=number(document, "generation"),
            nonce=text(document, "nonce"),
            extra=others(document, _HANDOFF),
        )

    def encode(self, attempt: int = 1) -> bytes:
        """Return the document; `attempt` makes no two attempts have the same ETag."""
        return json.dump(
            {
                "schema": 2,
                "from_agent": self.from_agent,
                "from_step": self.from_step,
                "next_agent": self.next_agent,
                "state": self.state,
                "next_action": self.next_action,
                "note": self.note,
                "created_at": self.created_at,
                "claim": self.claim,
                "generation": self.generation,
                **present(nonce=self.nonce, attempt=attempt if attempt > 1 else None),
                **self.extra,
            }
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """`after.json`, tcfs's own: which steps come before one, by their ids."""

    steps: tuple[str, ...] = ()
    agent: str
    set_at: str | None = None
    nonce: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read it; raises Malformed, also where the ids are no list of texts."""
        document = json.load_object(body)
        steps = document.get("after")
        if not isinstance(steps, list) or not all(isinstance(it, str) for it in steps):
            raise Malformed("`after` is no list of step ids")
        return cls(
            steps=tuple(steps),
            agent=text(document, "agent") or "unknown",
            set_at=text(document, "set_at"),
            nonce=text(document, "nonce"),
            extra=others(document, _AFTER),
        )

    def encode(self, attempt: int = 1) -> bytes:
        """Return the document; `attempt` makes no two attempts have the same ETag."""
        return json.dump(
            {
                "after": list(self.steps),
                "agent": self.agent,
                **present(set_at=self.set_at, nonce=self.nonce),
                **present(attempt=attempt if attempt > 1 else None),
                **self.extra,
            }
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """`agents/<id>.json`: presence."""

    id: str
    status: str
    step: str | None = None
    started_at: str | None = None
    heartbeat: str | None = None
    summary: str | None = None
    worktree: str | None = None
    host: str | None = None
    mount: str | None = None
    tcfs: str | None = None
    session: str | None = None  # the mirrored one it wrote to last, as `harness/id`
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read an agent's document; raises Malformed."""
        document = json.load_object(body)
        return cls(
            id=text(document, "id") or "unknown",
            status=text(document, "status") or "unknown",
            step=text(document, "step"),
            started_at=text(document, "started_at"),
            heartbeat=text(document, "heartbeat"),
            summary=text(document, "summary"),
            worktree=text(document, "worktree"),
            host=text(document, "host"),
            mount=text(document, "mount"),
            tcfs=text(document, "tcfs"),
            session=text(document, "session"),
            extra=others(document, _AGENT),
        )

    def encode(self) -> bytes:
        """Return the document."""
        return json.dump(
            {
                "id": self.id,
                "status": self.status,
                "step": self.step,
                "started_at": self.started_at,
                "heartbeat": self.heartbeat,
                "summary": self.summary or "",
                **present(worktree=self.worktree, host=self.host, mount=self.mount, tcfs=self.tcfs),
                **present(session=self.session),
                **self.extra,
            }
        )


def _names(document: type[Claim | Status | Handoff | After | Agent], *more: str) -> frozenset[str]:
    return frozenset(document.__dataclass_fields__) - {"extra"} | set(more)


_CLAIM: Final = _names(Claim, "attempt")
_STATUS: Final = _names(Status, "status", "attempt") - {"state", "foreign"}
_HANDOFF: Final = _names(Handoff, "schema", "attempt")
_AFTER: Final = _names(After, "after", "attempt") - {"steps"}
_AGENT: Final = _names(Agent)
