"""`locks/<name>.json`: a name that one agent has at a time. The reference knows no such object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, final

from tcfs.wire import json
from tcfs.wire._members import number, others, present, text
from tcfs.wire.documents import Lease


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Who has a lock. Members that this version does not know are in `extra`, and are kept."""

    agent: str
    locked_at: str | None = None
    id: str | None = None  # one a tenure
    nonce: str | None = None  # one a write
    generation: int = 0
    lease: Lease | None = None
    host: str | None = None
    mount: str | None = None
    released: bool = False  # a tombstone, on stores without conditional delete
    hold: bool = False  # it lives no longer than a file that somebody has open
    best_effort: bool = False  # another may have won as well: the store decides no race
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a lock; raises Malformed."""
        document = json.load_object(body)
        lease = document.get("lease")
        return cls(
            agent=text(document, "agent") or "unknown",
            locked_at=text(document, "locked_at"),
            id=text(document, "id"),
            nonce=text(document, "nonce"),
            generation=number(document, "generation"),
            lease=Lease(number(lease, "seconds"), text(lease, "renewed_at") or "")
            if isinstance(lease, dict)
            else None,
            host=text(document, "host"),
            mount=text(document, "mount"),
            released=document.get("released") is True,
            hold=document.get("hold") is True,
            best_effort=document.get("best_effort") is True,
            extra=others(document, _MEMBERS),
        )

    def encode(self, attempt: int = 1) -> bytes:
        """Return the document; `attempt` makes no two attempts have the same ETag."""
        lease = self.lease and {"seconds": self.lease.seconds, "renewed_at": self.lease.renewed_at}
        return json.dump(
            {
                "agent": self.agent,
                "locked_at": self.locked_at,
                **present(id=self.id, nonce=self.nonce, attempt=attempt if attempt > 1 else None),
                "generation": self.generation,
                "lease": lease,
                **present(
                    host=self.host,
                    mount=self.mount,
                    released=self.released or None,
                    hold=self.hold or None,
                    best_effort=self.best_effort or None,
                ),
                **self.extra,
            }
        )


_MEMBERS: Final = frozenset(Lock.__dataclass_fields__) - {"extra"} | {"attempt"}
