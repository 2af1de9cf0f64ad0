"""Who acts, as far as the process that asks tells (tree.md, who acts)."""

from typing import Final, final

from tcfs.fuse import proc
from tcfs.project.errors import Invalid
from tcfs.tree._base import Caller
from tcfs.wire import InvalidName
from tcfs.wire.ids import AgentId, agent_id

VARIABLE: Final = "TRACECRAFT_AGENT"
SHELLS: Final = frozenset({"ash", "bash", "busybox", "dash", "fish", "ksh", "mksh", "sh", "zsh"})
# What only starts another program, so that its own parent is whose word counts.
WRAPPERS: Final = frozenset({"env", "ionice", "nice", "setsid", "stdbuf", "time", "timeout"})

HOW: Final = f"{VARIABLE} in the environment this process was started with"


@final
class Identity:
    """Decides, by the environment a process was started with, else the mount's own agent.

    `default.how` says where the mount's agent comes from. `shared` is for a mount that other
    users can reach: there an environment that cannot be read makes a caller untrusted.
    """

    def __init__(self, default: Caller, *, shared: bool = False) -> None:
        self.default = default
        self.shared = shared

    def of(self, pid: int) -> Caller:
        """Return who a process acts as.

        Raises:
            Invalid: its environment names what cannot be an agent.
        """
        try:
            name = proc.variable(pid, VARIABLE)
        except OSError:
            if self.shared:
                how = "nothing: the environment of this process cannot be read"
                return Caller(self.default.agent, how, pid, trusted=False)
            return Caller(self.default.agent, self.default.how, pid)
        if not name:
            return Caller(self.default.agent, self.default.how, pid)
        try:
            return Caller(agent_id(name), HOW, pid)
        except InvalidName as error:
            raise Invalid(f"{VARIABLE} of process {pid}: {error}") from None

    def reader(self, pid: int) -> Caller:
        """Return who a process reads as: what names no agent may read, and be told so."""
        try:
            return self.of(pid)
        except Invalid as error:
            return Caller(self.default.agent, f"nothing: {error}", pid, trusted=False)

    def acting(self, path: str, pid: int) -> AgentId:
        """Return in whose `.tcfs/errors` a refusal on this path belongs; never raises."""
        parts = path.split("/", 3)
        try:
            if len(parts) > 3 and parts[1] == "as":
                return agent_id(parts[2])
            return self.of(pid).agent
        except (InvalidName, Invalid):
            return self.default.agent

    def explain(self, caller: Caller) -> str:
        """Return what `.tcfs/agent` shows after its first line: how, and what to beware of."""
        lines = [caller.how]
        warning = self._warning(caller)
        if warning:
            lines.append(f"warning: {warning}")
        return "".join(f"{line}\n" for line in lines)

    def _warning(self, caller: Caller) -> str:
        if not caller.pid or not caller.trusted or caller.how not in (HOW, self.default.how):
            return ""  # decided by the path, which no shell can get wrong
        if not (above := _parent_of(caller.pid)):
            return ""
        try:
            other = self.of(above)
        except Invalid as error:
            return f"{error}; what it redirects is refused"
        if other.agent == caller.agent or not other.trusted:
            return ""
        return (
            f"redirections (>, >>, <) of {proc.command(above) or 'the process'} {above}, which "
            f"started this one, act as {other.agent}, not {caller.agent}: {VARIABLE} counts as a "
            "process is started with it; an export in a running shell, or a prefix before a "
            f"redirection, never reaches it. Use as/{caller.agent}/ in this mount instead"
        )


def _parent_of(pid: int) -> int:
    """Return the process a program was started by; 0 for a shell, which redirects for itself."""
    process = proc.process(pid)
    if process is None or proc.command(process.pid) in SHELLS:
        return 0
    above = proc.parent(process.pid)
    while above and proc.command(above) in WRAPPERS:
        above = proc.parent(above)
    return above
