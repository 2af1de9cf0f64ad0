"""A tree without a kernel: paths are walked, files opened, written and let go of, as it would.

For what no door shows: faults, requests, clocks, and what comes between two calls of the kernel.
What a user can see is tested through both doors, in tests/doors.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tcfs.project import Project
from tcfs.project.errors import Missing
from tcfs.stores import NotFound
from tcfs.tree import Caller, Directory, File, Handle, Link, MountInfo, Node, OpenMode, Refusals
from tcfs.tree import root as make_root
from tcfs.tree.errnos import errno_of
from tcfs.wire.ids import AgentId
from tests.memory_store import MemoryStore

REPLACE = OpenMode(read=False, write=True, truncate=True)  # >
APPEND = OpenMode(read=False, write=True, append=True)  # >>
EXCLUSIVE = OpenMode(read=False, write=True, exclusive=True)  # set -C; >
TOUCH = OpenMode(read=False, write=True, touch=True)
READ = OpenMode()


def caller(agent: str = "a", *, trusted: bool = True) -> Caller:
    return Caller(AgentId(agent), "by the test\n", pid=1, trusted=trusted)


@dataclass
class Tree:
    """One mount. Every act is done by agent `a` unless it says otherwise."""

    root: Directory
    project: Project
    store: MemoryStore
    refusals: Refusals

    async def node(self, path: str, by: Caller | None = None) -> Node:
        here: Node = self.root
        for name in path.split("/"):
            assert isinstance(here, Directory), f"{here.path} is no directory"
            found = await here.lookup(name, by or caller())
            if isinstance(found, Link):
                found = await here.lookup(found.target, by or caller())
            here = found
        return here

    async def directory(self, path: str, by: Caller | None = None) -> Directory:
        found = await self.node(path, by) if path else self.root
        assert isinstance(found, Directory)
        return found

    async def file(self, path: str, by: Caller | None = None) -> File:
        found = await self.node(path, by)
        assert isinstance(found, File)
        return found

    async def ls(self, path: str = "") -> list[str]:
        return [name for name, _ in await (await self.directory(path)).entries(caller())]

    async def cat(self, path: str, by: str = "a") -> str:
        file = await self.file(path, caller(by))
        handle = await file.open(READ, caller(by))
        content = b""
        while more := await handle.read(len(content), 65536):
            content += more
        await handle.commit()
        await handle.release()
        return content.decode()

    async def open(self, path: str, mode: OpenMode, by: Caller | None = None) -> Handle:
        """Open as the kernel does: look up, then open, or create what did not look up."""
        parent, _, name = path.rpartition("/")
        directory = await self.directory(parent, by)
        try:
            found = await self.node(path, by)
        except (Missing, NotFound):
            _, handle = await directory.create(name, mode, by or caller())
            return handle
        assert isinstance(found, File)
        return await found.open(mode, by or caller())

    async def write(
        self, path: str, *texts: str | bytes, by: str = "a", mode: OpenMode = REPLACE
    ) -> None:
        """Open, write what is given in as many writes, and let go."""
        handle = await self.open(path, mode, caller(by))
        offset = 0
        try:
            for text in texts:
                data = text.encode() if isinstance(text, str) else text
                offset += await handle.write(offset, data)
            await handle.commit()
        finally:
            await handle.release()

    async def append(self, path: str, *texts: str | bytes, by: str = "a") -> None:
        await self.write(path, *texts, by=by, mode=APPEND)

    async def rm(self, path: str, by: str = "a") -> None:
        parent, _, name = path.rpartition("/")
        await self.node(path, caller(by))
        await (await self.directory(parent)).unlink(name, caller(by))

    async def rmdir(self, path: str, by: str = "a") -> None:
        parent, _, name = path.rpartition("/")
        await (await self.directory(parent)).rmdir(name, caller(by))

    async def mv(self, path: str, to: str, by: str = "a", *, exclusive: bool = False) -> None:
        parent, _, name = path.rpartition("/")
        target, _, new = to.rpartition("/")
        source, destination = await self.directory(parent), await self.directory(target)
        await source.rename(name, destination, new, caller(by), exclusive=exclusive)


@asynccontextmanager
async def grown(
    state: Path, store: MemoryStore | None = None, agent: str = "a"
) -> AsyncIterator[Tree]:
    """Yield the tree of a mount."""
    store = store or MemoryStore()
    refusals = Refusals()
    info = MountInfo("/mnt", "1.2.3", "store = memory\n", lambda it: it.how)
    opened = Project.open(store, agent=AgentId(agent), host="host", state=state)
    async with opened as project:
        yield Tree(make_root(project, info, refusals), project, store, refusals)


class refused:
    """Expect a refusal by its errno, whose text has what the test names."""

    def __init__(self, code: int, *says: str) -> None:
        self._code = code
        self._says = says

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if error is None:
            self._fail("nothing was refused")
        if not isinstance(error, Exception) or errno_of(error) is None:
            return False
        assert errno_of(error) == self._code, f"{errno_of(error)} instead: {error}"
        for it in self._says:
            assert it in str(error), f"{error!s} does not say {it!r}"
        return True

    def _fail(self, why: str) -> NoReturn:
        pytest.fail(why)
