"""Copilot CLI: `session-state/<uuid>/events.jsonl`; `session.start` says where it runs.

Subagents speak in the file of their session, in events with an `agentId`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tcfs.mirror.sources._base import Session
from tcfs.mirror.sources._files import Scan, Stamp, moved, objects, text
from tcfs.mirror.sources._transcripts import Transcripts

NAME: Final = "copilot-cli"


def copilot_cli(environ: Mapping[str, str]) -> Transcripts:
    """Return the sessions of Copilot CLI for a user with these environment variables."""
    state = moved(environ, "COPILOT_HOME", ".copilot") / "session-state"
    return Transcripts(NAME, lambda scan: _find(scan, state), _describe)


def _find(scan: Scan, state: Path) -> Iterator[tuple[Path, Stamp]]:
    for session in scan.subdirectories(state):
        yield from scan.files(session, lambda name: name == "events.jsonl")


def _describe(path: Path) -> Session | None:
    for line in objects(path):
        said = line.get("data")
        if line.get("type") != "session.start" or not isinstance(said, dict):
            continue
        context = said.get("context")
        return Session(
            NAME,
            path.parent.name,
            path,
            cwd=text(context.get("cwd")) if isinstance(context, dict) else None,
            started_at=text(said.get("startTime")) or text(line.get("timestamp")),
            client=text(said.get("copilotVersion")),
        )
    return None
