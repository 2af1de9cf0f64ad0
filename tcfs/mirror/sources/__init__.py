"""Where coding agents keep their transcripts, and how they are read: one file a harness."""

from tcfs.mirror.sources._base import LIMIT, Batch, Cursor, Session, Source, Unavailable
from tcfs.mirror.sources._registry import HARNESSES, source
from tcfs.mirror.sources.file import file

__all__ = [
    "HARNESSES",
    "LIMIT",
    "Batch",
    "Cursor",
    "Session",
    "Source",
    "Unavailable",
    "file",
    "source",
]
