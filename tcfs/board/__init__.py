"""The overview: one snapshot of a project, and how it reads."""

from tcfs.board._html import to_html
from tcfs.board._snapshot import LOCAL_ONLY, MailboxSummary, Snapshot, StepState, snapshot, warning
from tcfs.board._text import render, to_json

__all__ = [
    "LOCAL_ONLY",
    "MailboxSummary",
    "Snapshot",
    "StepState",
    "render",
    "snapshot",
    "to_html",
    "to_json",
    "warning",
]
