"""Ids of agents, steps and locks: what they may be, and how they fold."""

import secrets
from typing import Final, NewType

from tcfs.wire._errors import InvalidName
from tcfs.wire.text import CONTROL

AgentId = NewType("AgentId", str)
StepId = NewType("StepId", str)
LockId = NewType("LockId", str)
Mailbox = NewType("Mailbox", str)
"""An agent's id, or `BROADCAST`."""

BROADCAST: Final = Mailbox("_broadcast")
MAX_ID: Final = 200  # bytes: tree.md, leaves room in a 255-byte file name for the append key


def agent_id(name: str) -> AgentId:
    """Return `name` as an agent's id, or raise InvalidName."""
    return AgentId(_checked(name, "an agent id"))


def step_id(name: str) -> StepId:
    """Return `name` folded as the reference folds step ids: lower case, `.` to `-`.

    Raises:
        InvalidName: not an id, folded or not.
    """
    _checked(name, "a step id")
    return StepId(_checked(name.lower().replace(".", "-"), "a step id"))


def lock_id(name: str) -> LockId:
    """Return `name` as a lock's id, as it is written; or raise InvalidName."""
    return LockId(_checked(name, "a lock id"))


def mailbox(name: str) -> Mailbox:
    """Return `name` as a mailbox: an agent's id or `_broadcast`; or raise InvalidName."""
    return BROADCAST if name == BROADCAST else Mailbox(agent_id(name))


def fresh() -> str:
    """Return a new id for a tenure, a write, a message or a mount: 96 random bits in hex."""
    return secrets.token_hex(12)


def is_fresh(text: str) -> bool:
    """Tell whether `text` looks as what `fresh` returns, whoever wrote it."""
    return len(text) == 24 and not text.strip("0123456789abcdef")


def _checked(name: str, what: str) -> str:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidName(f"{what} is UTF-8 text; {name!r} is not") from None
    if not name.strip():
        raise InvalidName(f"{what} may not be empty or only white space")
    if size > MAX_ID:
        raise InvalidName(f"{what} has at most {MAX_ID} bytes; this one has {size}")
    if name[0] in "._":
        raise InvalidName(f"{what} may not begin with '{name[0]}': {name!r}")
    if "/" in name or is_control(name):
        raise InvalidName(f"{what} may hold no '/' and no control characters: {name!r}")
    return name


def is_control(text: str) -> bool:
    """Tell whether `text` holds what commands a terminal, ends a line or turns its letters."""
    return CONTROL.search(text) is not None
