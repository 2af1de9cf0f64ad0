"""Members of a document, read with the tolerance that the layout asks of its readers."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

LARGEST: Final = 2**53  # every reader of JSON has it exactly, and one more can be written


def text(document: Mapping[str, Any], name: str) -> str | None:
    """Return a string member; None where it is missing, null or of another type."""
    value = document.get(name)
    return value if isinstance(value, str) else None


def number(document: Mapping[str, Any], name: str) -> int:
    """Return a whole number, `LARGEST` at most; 0 where it is missing or of another type."""
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return max(-LARGEST, min(value, LARGEST))


def others(document: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return the members that this version does not know, to be written back as they were."""
    return {name: value for name, value in document.items() if name not in known}


def present(**members: Any) -> dict[str, Any]:
    """Return the members that have a value; a document leaves the others out."""
    return {name: value for name, value in members.items() if value is not None}
