"""Where every task is at the moment, for a mount that seems to hang."""

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trio.lowlevel import Task


def dump() -> str:
    """Return the stacks of all tasks, each below the task that started it."""
    root = trio.lowlevel.current_root_task()
    return "" if root is None else "\n".join(_lines(root, 0))


def _lines(task: "Task", depth: int) -> list[str]:
    indent = "  " * depth
    lines = [f"{indent}{task.name}"]
    for frame, number in task.iter_await_frames():
        code = frame.f_code
        lines.append(f"{indent}  {code.co_filename}:{number} {code.co_qualname}")
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            lines.extend(_lines(child, depth + 1))
    return lines
