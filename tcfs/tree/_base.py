"""The seam between how things look and how the kernel, or a command, asks for them.

A node answers for one path. It is cheap: made on a look-up, thrown away when forgotten; what it
shows lives in the project. Everything raises what the project and the store raise
(`tcfs.tree.errnos` has the table); a node adds `Refused` of its own.
"""

import errno
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, final

from tcfs.project import WALK
from tcfs.project.errors import Exists, Missing, NotAllowed, OtherDirectory, ViewOnly
from tcfs.stores import Buffer, NotFound
from tcfs.wire.ids import AgentId

HOUR: Final = 3600.0


@final
@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `how` is how that was decided, for `.tcfs/agent`; `pid` is 0 without a process.

    `trusted` is false when the caller's environment could not be read on a mount that other
    users can reach: nothing may be written in its name.
    """

    agent: AgentId
    how: str
    pid: int = 0
    trusted: bool = True


@final
class Kind(Enum):
    """What a path is."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"


@final
@dataclass(frozen=True, slots=True)
class Attributes:
    """What `stat` shows. `modified` is in nanoseconds since 1970, 0 where nothing tells."""

    size: int = 0
    modified: int = 0
    writable: bool = True


@final
@dataclass(frozen=True, slots=True)
class Keep:
    """For how many seconds the kernel may keep a name, and its attributes, without asking."""

    entry: float = 0.0
    attributes: float = 0.0


# Comes and goes: steps, memory, messages, agents. Every path walk asks for the name anew; what is
# then asked of the same file in passing (fstat, after open) may use that answer.
FRESH: Final = Keep(attributes=WALK)
FIXED: Final = Keep(entry=HOUR)  # the entry is always there, its attributes change
STATIC: Final = Keep(entry=HOUR, attributes=HOUR)  # a directory that is always there


@final
@dataclass(frozen=True, slots=True)
class OpenMode:
    """How a file is opened. `touch` is O_NONBLOCK, which `touch` and nothing else of note sets."""

    read: bool = True
    write: bool = False
    append: bool = False
    truncate: bool = False
    exclusive: bool = False
    touch: bool = False


class Node(ABC):
    """One path. `path` begins with `/` and is as the user wrote it; `keep` is for the kernel.

    `listed` is what a listing or look-up that made this node knows of its attributes, good for its
    answer only; None: ask `attributes`.
    """

    __slots__ = ("listed", "path")
    kind: Kind
    keep: Keep = FRESH

    def __init__(self, path: str, listed: Attributes | None = None) -> None:
        self.path = path
        self.listed = listed

    async def attributes(self) -> Attributes:
        """Return what `stat` shows now."""
        return Attributes()

    async def set_times(self, caller: Caller) -> None:
        """Take note that times or mode are to be changed: accepted, and without effect."""
        del caller

    async def set_mode(self, caller: Caller) -> None:
        """Take note that the mode alone is to be changed: as `set_times`, where it does not say."""
        await self.set_times(caller)


class Directory(Node):
    """A node that has names in it. Whatever it does not override is refused."""

    __slots__ = ()
    kind = Kind.DIRECTORY

    def child(self, name: str) -> str:
        """Return the path of `name` in this directory."""
        return f"{self.path.rstrip('/')}/{name}"

    @abstractmethod
    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return the node called `name`; raises Missing where there is none."""

    @abstractmethod
    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return the listed names with their nodes."""

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> "tuple[File, Handle]":
        """Make a file that did not look up, and open it."""
        raise NotAllowed(f"no file can be made in {self.path}; see README in the mount's root")

    async def mkdir(self, name: str, caller: Caller) -> "Directory":
        """Make a directory that did not look up."""
        raise NotAllowed(f"no directory can be made in {self.path}; see README")

    async def symlink(self, name: str, target: str, caller: Caller) -> Node:
        """Make a symbolic link that did not look up."""
        raise NotAllowed(f"no symbolic link can be made in {self.path}")

    async def unlink(self, name: str, caller: Caller) -> None:
        """Remove a file."""
        raise NotAllowed(f"{self.child(name)} cannot be removed")

    async def rmdir(self, name: str, caller: Caller) -> None:
        """Remove a directory."""
        raise NotAllowed(f"{self.child(name)} cannot be removed")

    async def rename(
        self, name: str, target: "Directory", new: str, caller: Caller, *, exclusive: bool
    ) -> None:
        """Move `name` to `new` in `target`, replacing what is there unless `exclusive`."""
        raise OtherDirectory(f"{self.child(name)} cannot be renamed; copy it, remove the old one")

    async def put(self, name: str, content: bytes, caller: Caller, *, exclusive: bool) -> None:
        """Make `content` all that `name` holds, in one write; raises Exists if `exclusive`."""
        mode = OpenMode(read=False, write=True, truncate=True, exclusive=exclusive)
        try:
            node = await self.lookup(name, caller)
        except (Missing, NotFound):
            _, handle = await self.create(name, mode, caller)
        else:
            if exclusive:
                raise Exists(f"{self.child(name)} exists")
            if not isinstance(node, File):
                raise NotAllowed(f"{self.child(name)} is no file")
            handle = await node.open(mode, caller)
        try:
            await handle.write(0, content)
            await handle.commit()
        finally:
            await handle.release()


class ViewDirectory(Directory):
    """A directory that shows, and takes no writes: EROFS to every one."""

    __slots__ = ()

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> "tuple[File, Handle]":
        """Refuse."""
        raise self._refusal(name)

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """Refuse."""
        raise self._refusal(name)

    async def symlink(self, name: str, target: str, caller: Caller) -> Node:
        """Refuse."""
        raise self._refusal(name)

    async def unlink(self, name: str, caller: Caller) -> None:
        """Refuse."""
        raise self._refusal(name)

    async def rmdir(self, name: str, caller: Caller) -> None:
        """Refuse."""
        raise self._refusal(name)

    async def rename(
        self, name: str, target: Directory, new: str, caller: Caller, *, exclusive: bool
    ) -> None:
        """Refuse."""
        raise self._refusal(name)

    def _refusal(self, name: str) -> ViewOnly:
        return ViewOnly(f"{self.path} is a view, {name} cannot be changed here; see README")


class File(Node):
    """A node that can be opened."""

    __slots__ = ()
    kind = Kind.FILE

    @abstractmethod
    async def open(self, mode: OpenMode, caller: Caller) -> "Handle":
        """Open the file. What may be refused is refused here."""

    async def truncate(self, size: int, caller: Caller) -> None:
        """Cut the file, which this caller need not have open, to `size` bytes."""
        raise ViewOnly(f"{self.path} is a view; it cannot be changed")


class Link(Node):
    """A symbolic link."""

    __slots__ = ("target",)
    kind = Kind.LINK

    def __init__(self, path: str, target: str) -> None:
        super().__init__(path)
        self.target = target


class Handle:
    """An open file: one document, from its opening until its opener lets go of it.

    `write` may store at once (tree.md: the first write, if it ends in a newline); `commit` stores
    what is not yet stored and is called when the opener lets go; it may be called again, and does
    nothing then. `discard` is called instead when the opener was killed by a signal. `release` is
    last and must not raise. A handle that was opened only to be read is committed at every close
    of a duplicate, whoever's: that is when `unread` is marked read.
    """

    __slots__ = ()
    paged = False  # whether the kernel's page cache may serve it; text views say no
    blocking = False  # whether `read` waits for something to happen, however long that takes

    @property
    def unhurried(self) -> bool:
        """Whether it waits on purpose, or carries more than a text, and has no deadline of its own.

        A transfer's limit is 30 s *without progress* (tree.md), which the store watches: each of
        its requests then has the usual deadline.
        """
        return self.blocking or self.paged

    @property
    def readable(self) -> bool:
        """Whether a read returns at once, as far as is known; asked of what is `blocking`."""
        return True

    async def until_readable(self) -> None:
        """Wait until a read would return at once, and take nothing; raises what it would raise."""

    async def read(self, offset: int, size: int) -> Buffer:
        """Return at most `size` bytes from `offset` on; none at the end. May block."""
        raise OSError(errno.EBADF, "not open for reading")

    async def write(self, offset: int, data: bytes) -> int:
        """Take bytes, and return how many were taken."""
        raise OSError(errno.EBADF, "not open for writing")

    async def append(self, offset: int, data: bytes) -> int:
        """Take bytes that go to the end, wherever that is; the kernel takes `offset` for it."""
        return await self.write(offset, data)

    async def truncate(self, size: int) -> None:
        """Cut what is being written to `size` bytes."""
        raise OSError(errno.EBADF, "not open for writing")

    def size(self) -> int | None:
        """Return the size of what is being written; None: as the node says."""
        return None

    async def commit(self) -> None:
        """Store what was written and is not yet stored."""

    async def sync(self) -> None:
        """Obey `fsync`: as `commit` for documents and files, nothing for mail and claims."""

    def discard(self) -> None:
        """Forget what was written and is not yet stored, for good."""

    async def release(self) -> None:
        """Let go of what this handle keeps; the last call."""
