"""A message: its document, the text it is written as, and the line it is shown as."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, final

from tcfs.wire import json
from tcfs.wire._members import others, present, text
from tcfs.wire.text import escaped, on_one_line


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`messages/<mailbox>/<append key>`."""

    sender: str
    to: str
    text: str
    sent_at: str | None = None
    step: str | None = None
    id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a message; raises Malformed."""
        document = json.load_object(body)
        message = document.get("message")
        return cls(
            sender=text(document, "from") or "?",
            to=text(document, "to") or "",
            text=message if isinstance(message, str) else json.dump_line(message),
            sent_at=text(document, "sent_at"),
            step=text(document, "step"),
            id=text(document, "id"),
            extra=others(document, _KNOWN),
        )

    def encode(self) -> bytes:
        """Return the document."""
        return json.dump(
            {
                "from": self.sender,
                "to": self.to,
                "message": self.text,
                "sent_at": self.sent_at,
                **present(step=self.step, id=self.id),
                **self.extra,
            }
        )

    def line(self, *, broadcast: bool) -> str:
        """Return the message as one entry of an inbox, ending in a newline.

        The first line is the reference's; further lines are indented, control characters escaped.
        """
        kind = "broadcast" if broadcast else "direct"
        thread = f" [step {on_one_line(self.step)}]" if self.step else ""
        first, *rest = self.text.split("\n")
        head = f"[{on_one_line(self.sent_at or '?')}] ({kind}) {on_one_line(self.sender)}{thread}: "
        return head + escaped(first) + "\n" + "".join(f"    {escaped(it)}\n" for it in rest)

    def letter(self) -> str:
        """Return the message as a file of its own: header lines, a blank line, the text.

        Control characters are escaped: what was sent, to the byte, is in the document.
        """
        header = f"From: {on_one_line(self.sender)}\nDate: {on_one_line(self.sent_at or '?')}\n"
        header += f"To: {on_one_line(self.to)}\n"
        if self.step:
            header += f"Step: {on_one_line(self.step)}\n"
        return f"{header}\n{escaped(self.text)}\n"


def parse_text(content: str) -> tuple[str | None, str]:
    """Return `(step, text)` of what was written to an inbox, less one final newline.

    If all lines before a first blank line are `Step:` lines they are a header; the last one
    counts, and its id is kept as written. Else all is text.
    """
    header, blank, body = content.partition("\n\n")
    steps = [_STEP.fullmatch(line) for line in header.split("\n")]
    if blank and all(steps):
        last = steps[-1]
        assert last is not None
        return last[1], body.removesuffix("\n")
    return None, content.removesuffix("\n")


_STEP: Final = re.compile(r"Step:[ \t]*(\S.*?)[ \t]*")
_KNOWN: Final = frozenset({"from", "to", "message", "sent_at", "step", "id"})
