"""`messages/<agent>/_cursor.json`: how far an agent has read its mail.

The reference's `inbox --new` reads and writes the same document, by the same rules (0.2.5,
tracecraft/protocol.py). A sender stamps a key before it is stored, and clocks differ: so a reader
looks back some time from the newest stamp, and keeps the keys there that it has shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, final

from tcfs.wire import json
from tcfs.wire._errors import Malformed
from tcfs.wire._members import others, text
from tcfs.wire.ids import BROADCAST, AgentId, Mailbox
from tcfs.wire.keys import append_leaf, mail

GRACE: Final = 300 * 1_000_000_000  # nanoseconds that the watermark trails the newest stamp
SEEN: Final = 1000  # keys that are kept at most


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """How far one mailbox is read. Keys up to the watermark are; above it, those in `seen`."""

    watermark: str | None = None
    seen: frozenset[str] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: object, box: Mailbox) -> Self:
        """Read a member of the cursor; what is none reads as nothing read."""
        if isinstance(value, str):  # the oldest form
            return cls(watermark=_checked(value, box))
        if not isinstance(value, dict):
            return cls()
        seen = value.get("seen")
        return cls(
            watermark=_checked(text(value, "watermark"), box),
            seen=frozenset(
                it for it in (seen if isinstance(seen, list) else ()) if isinstance(it, str)
            ),
            extra=others(value, ("watermark", "seen")),
        )

    def document(self) -> dict[str, Any]:
        """Return the member as it is written."""
        return {"watermark": self.watermark, "seen": sorted(self.seen), **self.extra}

    def is_new(self, key: str) -> bool:
        """Tell whether the object at `key` was not shown yet."""
        return (self.watermark is None or key > self.watermark) and key not in self.seen

    def after(self, listed: Iterable[str], box: Mailbox, now: int) -> Self:
        """Return how far it is once all of `listed`, a listing from the watermark on, was read.

        `now` is the time in nanoseconds: a sender whose clock is ahead of it must not carry the
        watermark past what others are about to send.
        """
        prefix = mail(box)
        known = frozenset(listed)
        leaves = [append_leaf(key[len(prefix) :]) for key in known]
        horizon = min(max((it.time_ns for it in leaves if it), default=0), now) - GRACE
        watermark = f"{prefix}{horizon:019d}" if horizon > 0 else None
        return self.merged(type(self)(watermark=watermark, seen=known))

    def merged(self, other: "Stream") -> Self:
        """Return what both together have read: the union, from the higher watermark on."""
        watermark = max((it.watermark for it in (self, other) if it.watermark), default=None)
        seen = {it for it in self.seen | other.seen if watermark is None or it > watermark}
        newest = frozenset(sorted(seen)[-SEEN:])
        return type(self)(watermark=watermark, seen=newest, extra={**other.extra, **self.extra})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The document: an agent's own mailbox, and everybody's."""

    direct: Stream = Stream()
    broadcast: Stream = Stream()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes, agent: AgentId) -> Self:
        """Read a cursor; what is none reads as nothing read, so that all mail shows."""
        try:
            document = json.load_object(body)
        except Malformed:
            return cls()
        return cls(
            direct=Stream.parse(document.get("direct"), Mailbox(agent)),
            broadcast=Stream.parse(document.get("broadcast"), BROADCAST),
            extra=others(document, ("direct", "broadcast", "updated_at")),
        )

    def encode(self, updated_at: str) -> bytes:
        """Return the document."""
        return json.dump(
            {
                "direct": self.direct.document(),
                "broadcast": self.broadcast.document(),
                "updated_at": updated_at,
                **self.extra,
            }
        )

    def merged(self, other: "Cursor") -> Self:
        """Return what both together have read."""
        return type(self)(
            direct=self.direct.merged(other.direct),
            broadcast=self.broadcast.merged(other.broadcast),
            extra={**other.extra, **self.extra},
        )


def _checked(watermark: str | None, box: Mailbox) -> str | None:
    """Return a watermark that is one: another would hide mail, for good."""
    prefix = mail(box)
    if watermark is None or not watermark.startswith(prefix):
        return None
    head = watermark[len(prefix) :].partition("_")[0]
    return watermark if head.isascii() and head.isdigit() else None
