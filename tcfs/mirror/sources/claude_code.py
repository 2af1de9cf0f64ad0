"""Claude Code: `projects/<directory>/<session>.jsonl`, subagents and large outputs beside it.

Sessions are found by what they say, not by the directory's name: Claude cuts long names and
changes every character but letters and digits, so that two directories can have one name.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tcfs.mirror.sources._base import Batch, Cursor, Session
from tcfs.mirror.sources._files import Scan, Stamp, moved, objects, text
from tcfs.mirror.sources._lines import read_lines, read_text
from tcfs.mirror.sources._transcripts import Transcripts
from tcfs.wire import json
from tcfs.wire._errors import Malformed

NAME: Final = "claude-code"
_SUBAGENTS: Final = "subagents"
_RESULTS: Final = "tool-results"


def claude_code(environ: Mapping[str, str]) -> Transcripts:
    """Return the sessions of Claude Code for a user with these environment variables."""
    projects = moved(environ, "CLAUDE_CONFIG_DIR", ".claude") / "projects"
    return Transcripts(NAME, lambda scan: _find(scan, projects), _describe, _read)


def _find(scan: Scan, projects: Path) -> Iterator[tuple[Path, Stamp]]:
    sessions: list[tuple[Path, Stamp]] = []
    for project in scan.subdirectories(projects):
        sessions += scan.files(project, lambda name: name.endswith(".jsonl"))
        for session in scan.subdirectories(project):
            yield from scan.files(session / _SUBAGENTS, _is_subagent)
            yield from scan.texts(session / _RESULTS)
    # A session resumed in another directory can lie in both: the one that goes on is meant.
    yield from sorted(sessions, key=lambda it: it[1][3], reverse=True)


def _is_subagent(name: str) -> bool:
    return name.startswith("agent-") and name.endswith(".jsonl")


def _describe(path: Path) -> Session | None:
    beside, parent = path.parent.name, path.parent.parent.name
    if beside == _RESULTS:
        return Session(NAME, f"{parent}__{path.name}", path, parent=parent)
    if beside == _SUBAGENTS:
        return _transcript(path, f"{parent}__{path.stem}", parent)
    return _transcript(path, path.stem, None)


def _transcript(path: Path, session: str, parent: str | None) -> Session | None:
    """Return what the first lines say; the first of all may say nothing of the directory."""
    cwd = started = client = None
    is_transcript = False
    for line in objects(path):
        if not isinstance(line.get("type"), str):
            continue
        is_transcript = True
        started = started or text(line.get("timestamp"))
        client = client or text(line.get("version"))
        if parent is None and line.get("isSidechain") is True:
            # Before 2.1 a subagent's file lay among the sessions.
            parent = text(line.get("sessionId"))
        if cwd := text(line.get("cwd")):
            break
    if not is_transcript:
        return None
    about = _meta(path) if parent is not None else {}
    parent = parent if parent != session else None
    return Session(NAME, session, path, None, cwd, started, parent, client, about)


def _meta(path: Path) -> Mapping[str, Any]:
    """Return a subagent's task and type, which lie beside its transcript."""
    try:
        return json.load_object(path.with_suffix(".meta.json").read_bytes())
    except (OSError, Malformed):
        return {}


def _read(session: Session, cursor: Cursor | None, limit: int) -> Batch:
    if session.path.parent.name == _RESULTS:
        return read_text(session.path, cursor)
    return read_lines(session.path, cursor, limit)
