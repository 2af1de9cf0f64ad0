"""pi: `sessions/--<directory>--/<time>_<uuid>.jsonl`, which begins with a header."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tcfs.mirror.sources._base import Session
from tcfs.mirror.sources._files import Scan, Stamp, first, moved, text
from tcfs.mirror.sources._transcripts import Transcripts

NAME: Final = "pi"


def pi(environ: Mapping[str, str]) -> Transcripts:
    """Return the sessions of pi for a user with these environment variables."""
    sessions = moved(environ, "PI_CODING_AGENT_DIR", ".pi/agent") / "sessions"
    return Transcripts(NAME, lambda scan: _find(scan, sessions), _describe)


def _find(scan: Scan, sessions: Path) -> Iterator[tuple[Path, Stamp]]:
    for directory in scan.subdirectories(sessions):
        yield from scan.files(directory, lambda name: name.endswith(".jsonl"))


def _describe(path: Path) -> Session | None:
    head = first(path) or {}
    session = text(head.get("id"))
    if head.get("type") != "session" or session is None:
        return None
    cwd, started = text(head.get("cwd")), text(head.get("timestamp"))
    return Session(NAME, session, path, cwd=cwd, started_at=started)
