"""Gemini CLI: `tmp/<project>/chats/session-*.jsonl`, subagents in `chats/<session>/*.jsonl`.

Large outputs of tools are in `tool-outputs/session-<session>/`. A transcript has only a hash of
where it runs; the project's `.project_root` has the path, and `projects.json` the project of each
path. What the user takes back is marked by a record at the end (`$rewindTo`), as is what changes
(`$set`): the file only grows. Before it had JSON Lines, a session was one JSON value that was
written anew at each turn: these are transcripts once the session goes on, which makes a file of
lines beside it.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from tcfs.mirror.sources._base import Batch, Cursor, Session
from tcfs.mirror.sources._files import Scan, Stamp, first, moved, text
from tcfs.mirror.sources._lines import read_lines, read_text
from tcfs.mirror.sources._transcripts import Transcripts
from tcfs.wire import json
from tcfs.wire._errors import Malformed

NAME: Final = "gemini-cli"
_CHATS: Final = "chats"
_OUTPUTS: Final = "tool-outputs"
_SESSION: Final = "session-"


def gemini_cli(environ: Mapping[str, str]) -> Transcripts:
    """Return the sessions of Gemini CLI for a user with these environment variables."""
    # The variable stands for the home, not for what is in it.
    home = moved(environ, "GEMINI_CLI_HOME", "") / ".gemini"
    return Transcripts(NAME, lambda scan: _find(scan, home / "tmp"), _describe, _read)


def _find(scan: Scan, projects: Path) -> Iterator[tuple[Path, Stamp]]:
    for project in scan.subdirectories(projects):
        chats = project / _CHATS
        yield from scan.files(chats, _is_session)
        for session in scan.subdirectories(chats):
            yield from scan.files(session, lambda name: name.endswith(".jsonl"))
        for outputs in scan.subdirectories(project / _OUTPUTS):
            if outputs.name.startswith(_SESSION):
                yield from scan.texts(outputs, ".txt")


def _is_session(name: str) -> bool:
    return name.startswith(_SESSION) and name.endswith(".jsonl")


def _is_output(path: Path) -> bool:
    return path.parent.parent.name == _OUTPUTS


def _describe(path: Path) -> Session | None:
    if _is_output(path):
        parent = path.parent.name.removeprefix(_SESSION)
        return Session(NAME, f"{parent}__{path.name}", path, parent=parent)
    head = first(path) or {}
    session = text(head.get("sessionId"))
    if session is None or "projectHash" not in head:
        return None
    owner = path.parent.name if path.parent.name != _CHATS else None
    project = path.parent.parent if owner is None else path.parent.parent.parent
    started = text(head.get("startTime"))
    return Session(NAME, session, path, cwd=_directory(project), started_at=started, parent=owner)


def _read(session: Session, cursor: Cursor | None, limit: int) -> Batch:
    if _is_output(session.path):
        return read_text(session.path, cursor)
    return read_lines(session.path, cursor, limit)


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
