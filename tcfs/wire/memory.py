"""A memory value and its versions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, final

from tcfs.wire import json
from tcfs.wire._errors import Malformed
from tcfs.wire._members import others, present, text


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryValue:
    """`memory/<key>.json`, and with `key` a version under `_history/`.

    `value` is a string from every command line, and may be any JSON value from another writer.
    `recent` holds `(nonce, time in seconds since 1970)` of the latest writes: an append whose
    answer was lost finds itself there (protocol.md, memory).
    """

    value: Any
    set_by: str
    set_at: str | None = None
    newline: bool = True
    nonce: str | None = None
    recent: tuple[tuple[str, int], ...] = ()
    key: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a value; raises Malformed."""
        document = json.load_object(body)
        if "value" not in document:
            raise Malformed("a memory document has a member 'value'")
        recent = document.get("recent")
        return cls(
            value=document["value"],
            set_by=text(document, "set_by") or "unknown",
            set_at=text(document, "set_at"),
            newline=document.get("newline") is not False,
            nonce=text(document, "nonce"),
            recent=tuple(
                (item[0], item[1])
                for item in (recent if isinstance(recent, list) else ())
                if isinstance(item, list)
                and len(item) == 2
                and isinstance(item[0], str)
                and isinstance(item[1], int)
            ),
            key=text(document, "key"),
            extra=others(document, _KNOWN),
        )

    def encode(self, attempt: int = 1) -> bytes:
        """Return the document; `attempt` makes no two attempts have the same ETag."""
        return json.dump(
            {
                **present(key=self.key),
                "value": self.value,
                "set_by": self.set_by,
                "set_at": self.set_at,
                **present(newline=None if self.newline else False),
                **present(nonce=self.nonce, attempt=attempt if attempt > 1 else None),
                **present(recent=[list(item) for item in self.recent] or None),
                **self.extra,
            }
        )

    def content(self) -> bytes:
        """Return the bytes of the file: a string as itself, anything else as compact JSON."""
        value = self.value if isinstance(self.value, str) else json.dump_line(self.value)
        return value.encode() + (b"\n" if self.newline else b"")


def split_newline(content: bytes) -> tuple[str, bool]:
    r"""Return the value of a file's bytes, less one final newline, and whether it had one.

    `b"v\\n"` is `("v", True)`, so the command line sees `v`; `MemoryValue.content` is its inverse.

    Raises:
        Malformed: not UTF-8.
    """
    try:
        value = content.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"text must be UTF-8 ({error}); put other bytes in artifacts/") from None
    return (value[:-1], True) if value.endswith("\n") else (value, False)


_KNOWN: Final = frozenset(MemoryValue.__dataclass_fields__) - {"extra"} | {"attempt"}
