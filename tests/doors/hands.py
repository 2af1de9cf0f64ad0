"""What an agent can do at either door to the tree, and what it is told when it is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, final

import trio

from tcfs.stores import NotFound, Object
from tcfs.stores.file import FileStore

AGENTS: Final = ("designer", "developer")


@final
class Denial(Exception):
    """What somebody was told who was refused: what every program says, and what we say."""

    def __init__(self, told: str, explained: str, code: int | None) -> None:
        super().__init__(f"{told} ({explained})")
        self.told = told
        self.explained = explained
        self.code = code  # None: this door tells no errno


@final
@dataclass(frozen=True, slots=True)
class Seen:
    """What `stat` shows. `modified` is in seconds since 1970, 0 where nothing tells."""

    kind: str
    size: int
    modified: float
    writable: bool
    target: str | None


class Hand(Protocol):
    """One agent at a door. A refusal is a Denial.

    What no command does (rename, truncate, a file held open, …) is `tests.doors.shell.Shell`'s.
    """

    def write(self, path: str, data: str | bytes) -> None: ...

    def append(self, path: str, data: str | bytes) -> None: ...

    def exclusive(self, path: str, data: str | bytes) -> None: ...

    def read(self, path: str) -> str: ...

    def read_bytes(self, path: str) -> bytes: ...

    def ls(self, path: str) -> list[str]:
        """Return what is listed, in the tree's own order."""

    def stat(self, path: str) -> Seen: ...

    def rm(self, path: str) -> None: ...

    def rm_tree(self, path: str) -> None: ...

    def mkdir(self, path: str) -> None: ...

    def mkdir_parents(self, path: str) -> None: ...


@final
class Bucket:
    """What another tool sees of a door's bucket, and does there."""

    def __init__(self, root: Path) -> None:
        self._store = FileStore(root)

    def place(self, key: str, body: bytes) -> None:
        trio.run(self._store.put, key, body)

    def remove(self, key: str) -> None:
        trio.run(self._store.delete, key)

    def body(self, key: str) -> bytes | None:
        try:
            found = trio.run(self._store.get, key)
        except NotFound:
            return None
        assert isinstance(found, Object)
        return found.body

    def keys(self, prefix: str) -> Sequence[str]:
        return trio.run(partial(self._keys, prefix))

    async def _keys(self, prefix: str) -> Sequence[str]:
        return [it.key async for page in self._store.list(prefix) for it in page]


@dataclass
class Door:
    """A project with nobody else in it, two agents, and the bucket it lies in."""

    designer: Hand
    developer: Hand
    bucket: Bucket
