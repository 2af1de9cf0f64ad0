"""Who works in a directory, as far as the processes there tell (tree.md, who acts)."""

import os
from pathlib import Path

from tcfs.fuse import proc
from tcfs.fuse.identity import VARIABLE
from tcfs.wire import InvalidName
from tcfs.wire.ids import AgentId, agent_id


def agent_in(directory: str) -> AgentId | None:
    """Return the one agent that processes in a directory were started as; None: none, or several.

    That is what a mount takes them for when they write. It may block, where the directory is in
    the mount.
    """
    found = set[AgentId]()
    real = Path(os.path.realpath(directory))
    for pid in _processes():
        try:
            if Path(f"/proc/{pid}/cwd").readlink() != real:
                continue
            name = proc.variable(pid, VARIABLE)
            if name:
                found.add(agent_id(name))
        except (OSError, InvalidName):  # gone by now, another user's, or nobody
            continue
    return found.pop() if len(found) == 1 else None


def _processes() -> list[int]:
    return [int(it.name) for it in Path("/proc").iterdir() if it.name.isdecimal()]
