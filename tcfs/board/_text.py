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
        age = max(0, seen.taken - it.heartbeat) // 1_000_000_000
        step = it.document.step or "-"
        lines.append(f"  {it.id:<24} {it.state:<8} step {step:<16} seen {_age(age)} ago")
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
    return json.dump(document) + b"\n"


def _uploaded(seen: Snapshot) -> str:
    last = nanoseconds(seen.sessions.last_uploaded_at)
    if last is None:
        return ""
    age = _age(max(0, seen.taken - last) // 1_000_000_000)
    return f": {seen.sessions.uploaded_bytes / 1e6:.1f} MB, last upload {age} ago"


def _age(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 5400 else f"{seconds // 3600} h"
