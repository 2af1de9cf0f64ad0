"""`.tcfs/errors`: what was refused, and what to do about it."""

import errno
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, final

from tcfs.wire.ids import AgentId, is_control
from tcfs.wire.times import iso

KEPT: Final = 1000  # lines an agent: tree.md
LONGEST: Final = 2000  # characters of a line; of a path alone the kernel takes 4096 bytes
AGENTS: Final = 1000  # whose lines are kept: those who were refused something last


@final
class Refusals:
    """The last refusals of this mount, by agent; lives as long as the mount.

    A command, which nobody asks for them later, gives `tell`: it is called with each at once.
    """

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        self._tell = tell
        self.count = 0  # of all agents, since the mount began
        self._lines: OrderedDict[AgentId, deque[str]] = OrderedDict()

    def record(self, agent: AgentId, path: str, code: int, text: str) -> None:
        """Add a line. `code` is an errno, `text` says what it means and what to do."""
        self.count += code != 0  # else it is advice
        name = errno.errorcode.get(code, str(code))
        line = f"{iso(time.time_ns())} {path} {name} {text}"
        if is_control(line):
            line = line.encode("unicode_escape").decode()
        # A path that is not UTF-8 holds lone surrogates, which no reader of this could be given.
        line = line.encode(errors="backslashreplace").decode()
        self._lines.setdefault(agent, deque(maxlen=KEPT)).append(_cut(line))
        self._lines.move_to_end(agent)
        if len(self._lines) > AGENTS:
            self._lines.popitem(last=False)
        if self._tell is not None:
            self._tell(_cut(f"{path}: {text}"))

    def text(self, agent: AgentId) -> str:
        """Return one agent's lines, oldest first."""
        return "".join(f"{line}\n" for line in self._lines.get(agent, ()))


def _cut(line: str) -> str:
    """Return a line without its middle where it is too long: what to do is at its end."""
    half = (LONGEST - len(_GAP)) // 2
    return line if len(line) <= LONGEST else f"{line[:half]}{_GAP}{line[-half:]}"


_GAP: Final = " [...] "
