"""What is known of a mirrored session: its `meta.json`, and the parts that it names.

The reference writes the members up to `parts`. What begins with `cursor` is ours, and tells the
mirror of this project where to go on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, final

from tcfs.wire import json
from tcfs.wire._errors import Malformed
from tcfs.wire._members import LARGEST, number, others, present, text
from tcfs.wire.documents import Lease


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part as meta names it; a merged one has `compacted_from`, and no `cursor_range`.

    `generation` is which rewriting of the source it belongs to; None: to the newest.
    """

    seq: int
    uuid: str
    cursor_range: Any = None  # a pair of whatever the harness counts in
    source_bytes: int | None = None
    uploaded_bytes: int | None = None
    redactions: Mapping[str, int] | None = None
    uploaded_at: str | None = None
    compacted_from: int | None = None
    generation: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, member: Any) -> Self:
        """Return a part of one member of `parts`; raises Malformed."""
        if not isinstance(member, dict):
            raise Malformed("a part is a JSON object")
        seq, uuid = _count(member, "seq"), text(member, "uuid")
        if seq is None or uuid is None or not _UUID.fullmatch(uuid):
            raise Malformed("a part has a whole number `seq` and eight hex digits `uuid`")
        return cls(
            seq=seq,
            uuid=uuid,
            cursor_range=member.get("cursor_range"),
            source_bytes=_count(member, "source_bytes"),
            uploaded_bytes=_count(member, "uploaded_bytes"),
            redactions=_counts(member, "redactions"),
            uploaded_at=text(member, "uploaded_at"),
            compacted_from=_count(member, "compacted_from"),
            generation=_count(member, "generation"),
            extra=others(member, _PART),
        )

    def member(self) -> dict[str, Any]:
        """Return the part as a member of `parts`."""
        return {
            "seq": self.seq,
            "uuid": self.uuid,
            **present(
                cursor_range=self.cursor_range,
                source_bytes=self.source_bytes,
                uploaded_bytes=self.uploaded_bytes,
                redactions=None if self.redactions is None else dict(self.redactions),
                uploaded_at=self.uploaded_at,
                compacted_from=self.compacted_from,
                generation=self.generation,
            ),
            **self.extra,
        }


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The one mirror of a session. Without a lease it has let go."""

    id: str  # one a mirror, for as long as it runs
    agent: str | None = None
    host: str | None = None
    mount: str | None = None
    lease: Lease | None = None

    @classmethod
    def of(cls, member: Any) -> Self | None:
        """Return the owner of one member `owner`; None where that names nobody."""
        if not isinstance(member, dict) or (id := text(member, "id")) is None:
            return None
        lease = member.get("lease")
        return cls(
            id=id,
            agent=text(member, "agent"),
            host=text(member, "host"),
            mount=text(member, "mount"),
            lease=Lease(number(lease, "seconds"), text(lease, "renewed_at") or "")
            if isinstance(lease, dict)
            else None,
        )

    def member(self) -> dict[str, Any]:
        """Return it as the member `owner`."""
        lease = self.lease and {"seconds": self.lease.seconds, "renewed_at": self.lease.renewed_at}
        return {
            "id": self.id,
            **present(agent=self.agent, host=self.host, mount=self.mount),
            "lease": lease,
        }


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMeta:
    """`sessions/<harness>/<session>/meta.json`.

    `parts` is None where they cannot be read; `extra` then has the member as it was.
    """

    harness: str | None = None
    session_id: str | None = None
    source_path: str | None = None
    cwd: str | None = None
    agent_id: str | None = None
    started_at: str | None = None
    last_uploaded_at: str | None = None
    ended_at: str | None = None
    total_source_bytes: int = 0
    total_uploaded_bytes: int = 0
    redaction_counts: Mapping[str, int] = field(default_factory=dict)
    parts: tuple[Part, ...] | None = ()
    cursor: Any = None
    generation: int | None = None  # of the source: it was truncated or rewritten so many times
    epoch: int | None = None
    nonce: str | None = None  # one a write; only ours have one
    owner: Any = None
    parent_session_id: str | None = None
    client: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a session's meta; raises Malformed."""
        document = json.load_object(body)
        parts = _parts(document)
        return cls(
            harness=text(document, "harness"),
            session_id=text(document, "session_id"),
            source_path=text(document, "source_path"),
            cwd=text(document, "cwd"),
            agent_id=text(document, "agent_id"),
            started_at=text(document, "started_at"),
            last_uploaded_at=text(document, "last_uploaded_at"),
            ended_at=text(document, "ended_at"),
            total_source_bytes=number(document, "total_source_bytes"),
            total_uploaded_bytes=number(document, "total_uploaded_bytes"),
            redaction_counts=_counts(document, "redaction_counts") or {},
            parts=parts,
            cursor=document.get("cursor"),
            generation=_count(document, "generation"),
            epoch=_count(document, "epoch"),
            nonce=text(document, "nonce"),
            owner=document.get("owner"),
            parent_session_id=text(document, "parent_session_id"),
            client=document.get("client"),
            extra=others(document, _META if parts is not None else _META - {"parts"}),
        )

    def encode(self, attempt: int = 1) -> bytes:
        """Return the document; `attempt` makes no two attempts have the same ETag."""
        return json.dump(
            {
                "schema_version": 1,
                "harness": self.harness,
                "session_id": self.session_id,
                "source_path": self.source_path,
                "cwd": self.cwd,
                "agent_id": self.agent_id,
                "started_at": self.started_at,
                "last_uploaded_at": self.last_uploaded_at,
                "ended_at": self.ended_at,
                "total_source_bytes": self.total_source_bytes,
                "total_uploaded_bytes": self.total_uploaded_bytes,
                "redaction_counts": dict(self.redaction_counts),
                **present(
                    parts=None if self.parts is None else [it.member() for it in self.parts],
                    cursor=self.cursor,
                    generation=self.generation,
                    epoch=self.epoch,
                    nonce=self.nonce,
                    attempt=attempt if attempt > 1 else None,
                    owner=self.owner,
                    parent_session_id=self.parent_session_id,
                    client=self.client,
                ),
                **self.extra,
            }
        )

    def newest(self) -> tuple[Part, ...] | None:
        """Return the parts of the newest generation in their order; None: they cannot be read."""
        if self.parts is None or self.generation is None:
            parts = self.parts
        else:
            parts = tuple(it for it in self.parts if it.generation in (None, self.generation))
        return parts if parts is None else tuple(sorted(parts, key=lambda it: it.seq))


def _parts(document: Mapping[str, Any]) -> tuple[Part, ...] | None:
    members = document.get("parts")
    try:
        return tuple(map(Part.of, members)) if isinstance(members, list) else None
    except Malformed:
        return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _count(document: Mapping[str, Any], name: str) -> int | None:
    value = document.get(name)
    return value if _is_count(value) else None


def _counts(document: Mapping[str, Any], name: str) -> dict[str, int] | None:
    value = document.get(name)
    if not isinstance(value, dict):
        return None
    return {kind: count for kind, count in value.items() if _is_count(count)}


_UUID: Final = re.compile("[0-9a-f]{8}")
_PART: Final = frozenset(Part.__dataclass_fields__) - {"extra"}
_META: Final = frozenset(SessionMeta.__dataclass_fields__) - {"extra"} | {
    "schema_version",
    "attempt",
}
