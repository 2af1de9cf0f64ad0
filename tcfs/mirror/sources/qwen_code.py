"""Qwen Code: `projects/<directory>/chats/<uuid>.jsonl`; each line says where it was written."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tcfs.mirror.sources._base import Session
from tcfs.mirror.sources._files import Scan, Stamp, moved, objects, text
from tcfs.mirror.sources._transcripts import Transcripts

NAME: Final = "qwen-code"


def qwen_code(environ: Mapping[str, str]) -> Transcripts:
    """Return the sessions of Qwen Code for a user with these environment variables."""
    projects = moved(environ, "QWEN_HOME", ".qwen") / "projects"
    return Transcripts(NAME, lambda scan: _find(scan, projects), _describe)


def _find(scan: Scan, projects: Path) -> Iterator[tuple[Path, Stamp]]:
    for project in scan.subdirectories(projects):
        yield from scan.files(project / "chats", lambda name: name.endswith(".jsonl"))


def _describe(path: Path) -> Session | None:
    for line in objects(path):
        if text(line.get("sessionId")) and (cwd := text(line.get("cwd"))):
            started, client = text(line.get("timestamp")), text(line.get("version"))
            return Session(NAME, path.stem, path, cwd=cwd, started_at=started, client=client)
    return None
