"""The overview as text, and as JSON for programs."""

from collections import Counter
from typing import Any

from tcfs.board._snapshot import LOCAL_ONLY, Snapshot
from tcfs.wire import json
from tcfs.wire.text import escaped
from tcfs.wire.times import iso, nanoseconds


def render(seen: Snapshot) -> str:
    """Return the overview on one screen."""
    lines = [] if seen.shared else [LOCAL_ONLY]
    lines.append(seen.store)
    if seen.warning:
        lines.append(seen.warning)
    lines.append(f"\nAGENTS ({len(seen.agents)})")
    for it in seen.agents:
        step = it.document.step or "-"
        seen_ago = ago(seen.taken - it.heartbeat)
        lines.append(f"  {it.id:<24} {it.state:<8} step {step:<16} seen {seen_ago}")
    counts = Counter(it.state for it in seen.steps)
    tally = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    lines.append(f"\nSTEPS ({len(seen.steps)}){': ' if tally else ''}{tally}")
    lines += [
        f"  {it.id:<24} {it.state:<12}{f' {it.agent}' if it.agent else ''}" for it in seen.steps
    ]
    lines.append(f"\nMAILBOXES ({len(seen.mailboxes)})")
    lines += [f"  {it.name:<24} {it.total} messages" for it in seen.mailboxes]
    lines.append(f"\nSESSIONS ({seen.sessions.count}){_uploaded(seen)}")
    return "\n".join(escaped(line).rstrip() for line in lines) + "\n"


def to_json(seen: Snapshot) -> bytes:
    """Return the overview as one JSON object."""
    document: dict[str, Any] = {
        "store": seen.store,
        "shared": seen.shared,
        "claims": seen.claims,
        "generated_at": iso(seen.taken),
        "agents": [
            {
                "id": it.id,
                "status": it.state,
                "step": it.document.step,
                "heartbeat": iso(it.heartbeat),
                "summary": it.document.summary,
            }
            for it in seen.agents
        ],
        "steps": [{"id": it.id, "status": it.state, "agent": it.agent} for it in seen.steps],
        "mailboxes": [{"agent": it.name, "total": it.total} for it in seen.mailboxes],
        "sessions": {
            "count": seen.sessions.count,
            "total_uploaded_bytes": seen.sessions.uploaded_bytes,
            "last_uploaded_at": seen.sessions.last_uploaded_at,
        },
    }
    return json.view(document) + b"\n"


def _uploaded(seen: Snapshot) -> str:
    last = nanoseconds(seen.sessions.last_uploaded_at)
    if last is None:
        return ""
    size = seen.sessions.uploaded_bytes / 1e6
    return f": {size:.1f} MB, last upload {ago(seen.taken - last)}"


def ago(nanoseconds: int) -> str:
    """Return how long ago something was, to the unit that people would say."""
    seconds = max(0, nanoseconds) // 1_000_000_000
    if seconds < 90:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 5400 else f"{seconds // 3600} h ago"
