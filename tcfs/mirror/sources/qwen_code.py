"""Qwen Code: `projects/<directory>/chats/<uuid>.jsonl`; each line says where it was written.

Archived sessions are moved to `chats/archive/`; the subagents of a session are in
`subagents/<session>/agent-*.jsonl`, each with a `.meta.json` on its task.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tcfs.mirror.sources._base import Session
from tcfs.mirror.sources._files import Scan, Stamp, below_home, moved, objects, setting, text
from tcfs.mirror.sources._transcripts import Transcripts
from tcfs.wire import json
from tcfs.wire._errors import Malformed

NAME: Final = "qwen-code"
_SUBAGENTS: Final = "subagents"
_TASK: Final = ("agentType", "description")


def qwen_code(environ: Mapping[str, str]) -> Transcripts:
    """Return the sessions of Qwen Code for a user with these environment variables."""
    projects = _runtime(environ) / "projects"
    return Transcripts(NAME, lambda scan: _find(scan, projects), _describe)


def _runtime(environ: Mapping[str, str]) -> Path:
    """Return where it writes: it can be apart from where its settings are."""
    home = moved(environ, "QWEN_HOME", ".qwen")
    if environ.get("QWEN_RUNTIME_DIR"):
        return moved(environ, "QWEN_RUNTIME_DIR", "")
    where = setting(home / "settings.json", "advanced", "runtimeOutputDir")
    return below_home(environ, where) if where else home


def _find(scan: Scan, projects: Path) -> Iterator[tuple[Path, Stamp]]:
    for project in scan.subdirectories(projects):
        chats = project / "chats"
        # While one is moved it is in both: the live one goes first.
        for directory in (chats, chats / "archive"):
            yield from scan.files(directory, _is_session)
        for session in scan.subdirectories(project / _SUBAGENTS):
            yield from scan.files(session, _is_subagent)


def _is_session(name: str) -> bool:
    # A ledger lists the prompts that are to be sent.
    return name.endswith(".jsonl") and not name.endswith(".ledger.jsonl")


def _is_subagent(name: str) -> bool:
    return name.startswith("agent-") and name.endswith(".jsonl")


def _describe(path: Path) -> Session | None:
    parent, session = None, path.stem
    about: Mapping[str, Any] = {}
    if path.parent.parent.name == _SUBAGENTS:
        parent, about = path.parent.name, _task(path)
        session = f"{parent}__{path.stem}"
    for line in objects(path):
        if text(line.get("sessionId")) and (cwd := text(line.get("cwd"))):
            started, client = text(line.get("timestamp")), text(line.get("version"))
            return Session(NAME, session, path, None, cwd, started, parent, client, about)
    return None


def _task(path: Path) -> Mapping[str, Any]:
    """Return a subagent's task and type, which lie beside its transcript."""
    try:
        said = json.load_object(path.with_suffix(".meta.json").read_bytes())
    except (OSError, Malformed):
        return {}
    return {name: said[name] for name in _TASK if text(said.get(name))}
