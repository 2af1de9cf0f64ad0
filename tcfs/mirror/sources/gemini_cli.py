"""Gemini CLI: `tmp/<project>/chats/session-*.jsonl`, subagents in `chats/<session>/*.jsonl`.

A transcript has only a hash of where it runs; the project's `.project_root` has the path, and
`projects.json` the project of each path.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from tcfs.mirror.sources._base import Session
from tcfs.mirror.sources._files import Scan, Stamp, first, moved, text
from tcfs.mirror.sources._transcripts import Transcripts
from tcfs.wire import json
from tcfs.wire._errors import Malformed

NAME: Final = "gemini-cli"
_CHATS: Final = "chats"


def gemini_cli(environ: Mapping[str, str]) -> Transcripts:
    """Return the sessions of Gemini CLI for a user with these environment variables."""
    # The variable stands for the home, not for what is in it.
    home = moved(environ, "GEMINI_CLI_HOME", "") / ".gemini"
    return Transcripts(NAME, lambda scan: _find(scan, home / "tmp"), _describe)


def _find(scan: Scan, projects: Path) -> Iterator[tuple[Path, Stamp]]:
    for project in scan.subdirectories(projects):
        chats = project / _CHATS
        yield from scan.files(chats, _is_session)
        for session in scan.subdirectories(chats):
            yield from scan.files(session, lambda name: name.endswith(".jsonl"))


def _is_session(name: str) -> bool:
    return name.startswith("session-") and name.endswith(".jsonl")


def _describe(path: Path) -> Session | None:
    head = first(path) or {}
    session = text(head.get("sessionId"))
    if session is None or "projectHash" not in head:
        return None
    parent = path.parent.name if path.parent.name != _CHATS else None
    project = path.parent.parent if parent is None else path.parent.parent.parent
    started = text(head.get("startTime"))
    return Session(NAME, session, path, cwd=_directory(project), started_at=started, parent=parent)


def _directory(project: Path) -> str | None:
    """Return where the sessions of a project run; None if nothing says it."""
    with suppress(OSError, UnicodeDecodeError):
        return (project / ".project_root").read_text().strip() or None
    try:
        known = json.load_object((project.parent.parent / "projects.json").read_bytes())
    except (OSError, Malformed):
        return None
    paths = known.get("projects")
    named = paths.items() if isinstance(paths, dict) else ()
    return next((path for path, name in named if name == project.name), None)
