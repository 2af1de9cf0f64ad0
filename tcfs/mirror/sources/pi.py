"""pi: `sessions/--<directory>--/<time>_<uuid>.jsonl`, which begins with a header.

Sessions that were moved elsewhere as a whole (a variable, or a setting) lie there side by side.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tcfs.mirror.sources._base import Session
from tcfs.mirror.sources._files import Scan, Stamp, below_home, first, moved, setting, text
from tcfs.mirror.sources._transcripts import Transcripts

NAME: Final = "pi"
_ELSEWHERE: Final = "PI_CODING_AGENT_SESSION_DIR"


def pi(environ: Mapping[str, str]) -> Transcripts:
    """Return the sessions of pi for a user with these environment variables."""
    agent = moved(environ, "PI_CODING_AGENT_DIR", ".pi/agent")
    where = environ.get(_ELSEWHERE) or setting(agent / "settings.json", "sessionDir")
    # What ran before they were moved is still in the old place.
    places = [agent / "sessions", *([below_home(environ, where)] if where else [])]
    return Transcripts(NAME, lambda scan: _find(scan, places), _describe)


def _find(scan: Scan, places: list[Path]) -> Iterator[tuple[Path, Stamp]]:
    for place in places:
        for directory in (place, *scan.subdirectories(place)):
            yield from scan.files(directory, lambda name: name.endswith(".jsonl"))


def _describe(path: Path) -> Session | None:
    head = first(path) or {}
    session = text(head.get("id"))
    if head.get("type") != "session" or session is None:
        return None
    cwd, started = text(head.get("cwd")), text(head.get("timestamp"))
    return Session(NAME, session, path, cwd=cwd, started_at=started)
