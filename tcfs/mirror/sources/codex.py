"""Codex: `sessions/<y>/<m>/<d>/rollout-*.jsonl`, moved to `archived_sessions`, cold ones `.zst`.

The first line says everything: id, directory, version, and the parent of a subagent.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tcfs.mirror.sources._base import Session
from tcfs.mirror.sources._files import Scan, Stamp, first, moved, text
from tcfs.mirror.sources._transcripts import Transcripts

NAME: Final = "codex"


def codex(environ: Mapping[str, str]) -> Transcripts:
    """Return the sessions of Codex for a user with these environment variables."""
    home = moved(environ, "CODEX_HOME", ".codex")
    return Transcripts(NAME, lambda scan: _find(scan, home), _describe)


def _find(scan: Scan, home: Path) -> Iterator[tuple[Path, Stamp]]:
    """Yield live sessions before archived ones, plain ones before compressed ones."""
    found: list[tuple[Path, Stamp]] = []
    level = [home / "sessions"]
    for _ in ("year", "month", "day"):
        level = [below for directory in level for below in scan.subdirectories(directory)]
    for day in level:
        found += scan.files(day, _is_rollout)
    found += scan.files(home / "archived_sessions", _is_rollout)
    yield from sorted(found, key=lambda it: it[0].suffix == ".zst")


def _is_rollout(name: str) -> bool:
    return name.startswith("rollout-") and name.endswith((".jsonl", ".jsonl.zst"))


def _describe(path: Path) -> Session | None:
    line = first(path) or {}
    said = line.get("payload")
    if line.get("type") != "session_meta" or not isinstance(said, dict):
        return None
    # `session_id` is that of the whole family; `id` is this thread's.
    session = text(said.get("id"))
    if session is None:
        return None
    nickname = text(said.get("agent_nickname"))
    return Session(
        NAME,
        session,
        path,
        cwd=text(said.get("cwd")),
        started_at=text(said.get("timestamp")) or text(line.get("timestamp")),
        parent=text(said.get("parent_thread_id")),
        client=text(said.get("cli_version")),
        about={"agent_nickname": nickname} if nickname else {},
    )
