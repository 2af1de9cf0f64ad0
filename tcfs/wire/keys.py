"""The one place that knows a key's form. Keys are relative to the project."""

import re
from dataclasses import dataclass
from typing import Final

from tcfs.wire._errors import InvalidName
from tcfs.wire.ids import AgentId, LockId, Mailbox, StepId, is_control, lock_id, step_id

AGENTS: Final = "agents/"
MEMORY: Final = "memory/"
HISTORY: Final = "memory/_history/"
MESSAGES: Final = "messages/"
STEPS: Final = "steps/"
LOCKS: Final = "locks/"
ARTIFACTS: Final = "artifacts/"
SESSIONS: Final = "sessions/"

MAX_KEY: Final = 1024  # bytes, S3's limit
MAX_TEXT: Final = 1 << 20  # bytes of a note, a value or a message: tree.md
_RESERVED: Final = 128  # what the project's name, `_history/` and the append key may take of it


def agent(name: AgentId) -> str:
    """Return the key of an agent's document."""
    return f"{AGENTS}{name}.json"


def step(name: StepId) -> str:
    """Return the prefix under which a step's objects lie."""
    return f"{STEPS}{name}/"


def step_of(key: str) -> str | None:
    """Return the step that an object makes; None for one that no step id leads to.

    0.2.0 allowed `/` in ids: what lies deeper than one level is foreign.
    """
    name, separator, leaf = key[len(STEPS) :].partition("/")
    if not key.startswith(STEPS) or not separator or not leaf or "/" in leaf:
        return None
    try:
        return name if step_id(name) == name else None
    except InvalidName:
        return None


def claim(step: StepId) -> str:
    """Return the key of a step's claim."""
    return f"{STEPS}{step}/claim.json"


def status(step: StepId) -> str:
    """Return the key of a step's status."""
    return f"{STEPS}{step}/status.json"


def handoff(step: StepId) -> str:
    """Return the key of a step's handoff record."""
    return f"{STEPS}{step}/handoff.json"


def after(step: StepId) -> str:
    """Return the key of what comes before a step."""
    return f"{STEPS}{step}/after.json"


def lock(name: LockId) -> str:
    """Return the key of a lock."""
    return f"{LOCKS}{name}.json"


def lock_of(key: str) -> LockId | None:
    """Return the lock at `key`; None for what no lock id leads to."""
    name = key[len(LOCKS) :].removesuffix(".json")
    # The name + `.json` shows the object as it is, so that no lock can be called so.
    if not key.startswith(LOCKS) or not key.endswith(".json") or name.endswith(".json"):
        return None
    try:
        return lock_id(name)
    except InvalidName:
        return None


def mail(box: Mailbox) -> str:
    """Return the prefix under which a mailbox's messages lie."""
    return f"{MESSAGES}{box}/"


def cursor(agent: AgentId) -> str:
    """Return the key of how far an agent has read its mail."""
    return f"{MESSAGES}{agent}/_cursor.json"


def is_leaf(name: str) -> bool:
    """Tell whether a key's rest below a prefix is data there: not nested, not bookkeeping.

    The reference applies the same rule to mail and to history.
    """
    return bool(name) and "/" not in name and not name.startswith("_")


# memory: dots in the name are slashes in the key


def memory_name(name: str) -> str:
    """Return the dotted name of a memory key, checked.

    Raises:
        InvalidName: not UTF-8, an empty segment, `_history`, or too long for a key.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidName(f"a memory key is UTF-8 text; {name!r} is not") from None
    segments = name.split(".")
    if not all(segment.strip() for segment in segments):
        raise InvalidName(f"a memory key may not begin, end or double its dots: {name!r}")
    if segments[0] == "_history":
        raise InvalidName("memory/_history holds the versions; choose another first segment")
    if "/" in name or is_control(name):
        raise InvalidName(f"a memory key may hold no '/' and no control characters: {name!r}")
    if size > MAX_KEY - _RESERVED:
        raise InvalidName(f"a memory key has at most {MAX_KEY - _RESERVED} bytes, not {size}")
    return name


def memory(name: str) -> str:
    """Return the key of the memory value that is called `name`, dotted."""
    return f"{MEMORY}{name.replace('.', '/')}.json"


def memory_of(key: str) -> str | None:
    """Return the dotted name of the value at `key`; None if the key is none of memory's."""
    if not key.startswith(MEMORY) or key.startswith(HISTORY) or not key.endswith(".json"):
        return None
    path = key[len(MEMORY) : -len(".json")]
    # A dot inside a segment would come back as another key: some other tool wrote it.
    return None if "." in path else path.replace("/", ".")


def history(name: str) -> str:
    """Return the prefix under which the versions of the memory key `name` lie."""
    return f"{HISTORY}{name.replace('.', '/')}/"


# append keys: <time in ns, 19 digits>_<agent>_<8 hex>.json


@dataclass(frozen=True, slots=True)
class AppendLeaf:
    """The name of a message or a version. 0.2.0 wrote whole seconds and no `unique`."""

    time_ns: int
    agent: str
    unique: str

    def __str__(self) -> str:
        """Return the leaf without `.json`, as new ones are written."""
        return f"{self.time_ns:019d}_{self.agent}_{self.unique}"


def append_leaf(name: str) -> AppendLeaf | None:
    """Return what a leaf such as `<ns>_<agent>_<hex8>.json` says; None if it is no such name.

    Agent ids may hold underscores, so the first and the last are the anchors.
    """
    head, separator, rest = name.removesuffix(".json").partition("_")
    if not separator or not name.endswith(".json") or not (head.isascii() and head.isdigit()):
        return None
    if len(head) <= 11:  # 0.2.0: seconds until the year 5138
        return AppendLeaf(int(head) * 1_000_000_000, rest, "")
    agent, separator, unique = rest.rpartition("_")
    return AppendLeaf(int(head), agent, unique) if separator else None


# sessions: sessions/<harness>/<session>/part-<seq, 5 digits>-<8 hex>.jsonl, meta.json


@dataclass(frozen=True, slots=True, order=True)
class PartLeaf:
    """The name of one part of a session; parts are ordered by `seq`."""

    seq: int
    uuid: str

    def __str__(self) -> str:
        """Return the leaf."""
        return f"part-{self.seq:05d}-{self.uuid}.jsonl"


def part_leaf(name: str) -> PartLeaf | None:
    """Return what a leaf such as `part-00012-0123abcd.jsonl` says; None if it is no such name."""
    match = _PART.fullmatch(name)
    # One that would be written another way is no part: it could not be named by meta.
    leaf = PartLeaf(int(match[1]), match[2]) if match else None
    return leaf if leaf is not None and str(leaf) == name else None


def is_session_name(name: str) -> bool:
    """Tell whether a harness or a session may be called so: it is a directory's name then."""
    utf8 = name.encode(errors="ignore").decode() == name
    return utf8 and bool(name.strip(" .")) and "/" not in name and not is_control(name)


def harness(name: str) -> str:
    """Return the prefix under which a harness's sessions lie."""
    return f"{SESSIONS}{name}/"


def session(harness: str, session: str) -> str:
    """Return the prefix under which a session's objects lie."""
    return f"{SESSIONS}{harness}/{session}/"


def session_meta(harness: str, session: str) -> str:
    """Return the key of what is known of a session."""
    return f"{SESSIONS}{harness}/{session}/meta.json"


_PART: Final = re.compile(r"part-([0-9]{5,15})-([0-9a-f]{8})\.jsonl")
