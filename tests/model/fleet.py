"""What agents share, as plain dicts: the rules of the tree that any sequence of acts must follow.

Knows no bucket, no keys and no time. Every act either changes what is here, or raises `Refused`
with the errno that the tree must answer with.
"""

from dataclasses import dataclass, field
from errno import EEXIST, ENOENT, ENOTEMPTY, EPERM
from typing import Final, final

FINAL: Final = ("complete", "blocked", "needs_review", "failed")


class Refused(Exception):
    """The act is refused, with this errno."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@final
@dataclass
class Step:
    """`by` holds it, or finished it; nobody while it is pending."""

    state: str = "pending"
    by: str | None = None
    handoff: str | None = None  # of the present tenure
    there: bool = False  # something of it is stored
    claimed: bool = False  # there is a claim to be seen: a status alone may say that it is finished


@final
@dataclass
class Fleet:
    """All that is shared."""

    memory: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, list[bytes]] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)
    mail: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # (sender, text) by box
    order: list[tuple[str, str, str]] = field(default_factory=list)  # (box, sender, text), by time
    read: dict[str, set[tuple[str, str, str]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)  # that the mount remembers

    # memory

    def has_below(self, key: str) -> bool:
        return any(it.startswith(f"{key}.") for it in self.memory)

    def give(self, key: str, content: bytes) -> None:
        self.memory[key] = content
        self.versions.setdefault(key, []).append(content)

    def create(self, key: str, content: bytes) -> None:
        if key in self.memory:
            raise Refused(EEXIST)
        self.give(key, content)

    def append(self, key: str, content: bytes) -> None:
        self.give(key, self.memory.get(key, b"") + content)

    def unset(self, key: str) -> None:
        if key not in self.memory:
            raise Refused(ENOENT)
        del self.memory[key]

    def move(self, key: str, new: str) -> None:
        if key not in self.memory:
            raise Refused(ENOENT)
        self.give(new, self.memory[key])
        if new != key:
            del self.memory[key]

    # steps

    def step(self, step: str) -> Step:
        return self.steps.setdefault(step, Step())

    def claim(self, step: str, agent: str) -> None:
        if self.step(step).by is not None:
            raise Refused(EEXIST)
        self.steps[step] = Step("in_progress", agent, None, there=True, claimed=True)

    def give_back(self, step: str, agent: str) -> None:
        it = self.step(step)
        if not it.claimed:
            raise Refused(ENOENT)
        if it.by != agent or it.state != "in_progress":
            raise Refused(EPERM)
        it.state, it.by, it.claimed = "pending", None, False

    def set_state(self, step: str, agent: str, word: str) -> None:
        it = self.step(step)
        if it.by not in (None, agent):
            raise Refused(EPERM)
        if word == "pending":
            it.state, it.by, it.there, it.claimed = "pending", None, True, False
        elif word == "in_progress":
            if it.state != "in_progress":
                raise Refused(EPERM)
        elif it.state in FINAL:
            if it.state != word:
                raise Refused(EPERM)
        else:
            it.state, it.by, it.there, it.claimed = word, agent, True, True

    def ready(self) -> list[str]:
        return sorted(it for it, step in self.steps.items() if step.there and step.by is None)

    # locks

    def lock(self, name: str, agent: str) -> None:
        if name in self.locks:
            raise Refused(EEXIST)
        self.locks[name] = agent

    def unlock(self, name: str, agent: str) -> None:
        if name not in self.locks:
            raise Refused(ENOENT)
        if self.locks[name] != agent:
            raise Refused(EPERM)
        del self.locks[name]

    # mail

    def send(self, box: str, sender: str, text: str) -> None:
        self.order.append((box, sender, text))

    def inbox(self, agent: str) -> list[tuple[str, str, str]]:
        return [
            (box, sender, text)
            for box, sender, text in self.order
            if box == agent or (box == "_broadcast" and sender != agent)
        ]

    def unread(self, agent: str) -> list[tuple[str, str, str]]:
        return [it for it in self.inbox(agent) if it not in self.read.get(agent, ())]

    def mark(self, agent: str) -> None:
        self.read.setdefault(agent, set()).update(self.inbox(agent))

    # files

    def is_directory(self, path: str) -> bool:
        return path in self.directories or any(it.startswith(f"{path}/") for it in self.files)

    def write(self, path: str, content: bytes) -> None:
        self.files[path] = content

    def remove(self, path: str) -> None:
        if path not in self.files:
            raise Refused(ENOENT)
        del self.files[path]
        self.remember(path)

    def rename(self, path: str, new: str) -> None:
        if path not in self.files:
            raise Refused(ENOENT)
        self.files[new] = self.files.pop(path)
        self.remember(path)

    def make_directory(self, path: str) -> None:
        self.directories.add(path)
        self.remember(path)

    def remove_directory(self, path: str) -> None:
        below = f"{path}/"
        if any(it.startswith(below) for it in (*self.files, *self.directories)):
            raise Refused(ENOTEMPTY)
        self.directories.discard(path)
        self.remember(path)

    def remember(self, path: str) -> None:
        """What is above that a mount changed stays there for it, whatever others remove."""
        while path := path.rpartition("/")[0]:
            self.directories.add(path)

    def listed(self, path: str) -> set[str]:
        below = f"{path}/"
        every = [*self.files, *self.directories]
        return {it[len(below) :].partition("/")[0] for it in every if it.startswith(below)}
