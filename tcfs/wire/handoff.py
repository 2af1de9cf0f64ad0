"""The text of a handoff: what `cat steps/x/handoff` shows and a write to it means."""

import re
from typing import Final, NamedTuple, final

from tcfs.wire.documents import Handoff


@final
class HandoffText(NamedTuple):
    """What was written: the note, and the header's two fields where there is a header.

    `changed_files` is no part of the text: a command may know them. None leaves them as they are.
    """

    note: str
    next_agent: str | None = None
    next_action: str | None = None
    changed_files: tuple[str, ...] | None = None


def parse_text(content: str) -> HandoffText:
    """Return what `content` says, less one final newline.

    If all lines before a first blank line are `To:` or `Next:` lines they are the header;
    else all is note.
    """
    header, blank, body = content.partition("\n\n")
    if not blank:  # no blank line: all of it is header, or none
        header = content.removesuffix("\n")
    fields = [_FIELD.fullmatch(line) for line in header.split("\n")]
    if not all(fields):
        return HandoffText(content.removesuffix("\n"))
    found = {match[1]: match[2] for match in fields if match}
    return HandoffText(body.removesuffix("\n"), found.get("To"), found.get("Next"))


def show(record: Handoff) -> str:
    """Return the text that `parse_text` reads back."""
    header = f"To: {record.next_agent}\n" if record.next_agent else ""
    header += f"Next: {record.next_action}\n" if record.next_action else ""
    if header and not record.note:
        return header
    return (header + "\n" if header else "") + record.note + "\n"


_FIELD: Final = re.compile(r"(To|Next):[ \t]*(\S.*?)[ \t]*")
