"""Text from the bucket, made fit for a terminal: whoever can write there must not command it."""

import re
from typing import Final

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def escaped(text: str) -> str:
    """Return `text` with control characters as `\\x1b`; tabs and newlines stay."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def on_one_line(text: str) -> str:
    """Return `text` with control characters and newlines escaped."""
    return escaped(text).replace("\n", "\\x0a")
