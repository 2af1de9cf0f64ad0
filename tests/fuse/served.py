"""A small tree in a process of its own, mounted: `python served.py MOUNTPOINT [LIMIT]`.

It knows nothing of tcfs's project. Every commit is a line of `/commits`.
"""

import gc
import logging
import os
import sys
import time
from collections.abc import Sequence

import trio

from tcfs.fuse import Identity, Options, serve
from tcfs.fuse.inodes import Inodes
from tcfs.project import Metrics
from tcfs.project.errors import Held, Missing
from tcfs.tree._base import (
    FIXED,
    Attributes,
    Caller,
    Directory,
    File,
    Handle,
    Keep,
    Node,
    OpenMode,
)
from tcfs.tree.refusals import Refusals
from tcfs.wire.ids import AgentId

COMMITS: list[str] = []
RELEASED: list[str] = []
REFUSALS = Refusals()
METRICS = Metrics("test")
DOCUMENTS: dict[str, bytes] = {}
MANY = 3000
DEV = AgentId("dev")
IDENTITY = Identity(Caller(DEV, "--agent"))


class Gate:
    """What a waiting read waits for; opened by writing to `/gate`."""

    opened = trio.Event()
    readers = 0


class Gathering(Handle):
    """One message."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = bytearray()

    async def write(self, offset: int, data: bytes) -> int:
        self.text += data
        return len(data)

    async def commit(self) -> None:
        if self.text:
            COMMITS.append(f"{self.name} {bytes(self.text)!r}")
            self.text.clear()

    def discard(self) -> None:
        COMMITS.append(f"{self.name} discarded")

    async def release(self) -> None:
        RELEASED.append(self.name)


class Document(Handle):
    """One value, as it was when opened, and what is written over it."""

    def __init__(self, name: str, mode: OpenMode, *, paged: bool, new: bool = False) -> None:
        self.name = name
        self.paged = paged
        self.mode = mode
        self.dirty = mode.truncate or new
        self.data = bytearray(b"" if self.dirty else DOCUMENTS.get(name, b""))

    async def read(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    async def write(self, offset: int, data: bytes) -> int:
        if self.mode.append:
            offset = len(self.data)
        self.data[offset : offset + len(data)] = data
        self.dirty = True
        return len(data)

    async def truncate(self, size: int) -> None:
        self.data = self.data[:size].ljust(size, b"\0")
        self.dirty = True

    def size(self) -> int | None:
        return len(self.data)

    async def commit(self) -> None:
        if self.dirty:
            self.dirty = False
            DOCUMENTS[self.name] = bytes(self.data)
            COMMITS.append(f"{self.name} {len(self.data)}")

    async def sync(self) -> None:
        await self.commit()


class Waiting(Handle):
    blocking = True

    def __init__(self) -> None:
        self.passed = False

    @property
    def readable(self) -> bool:
        return self.passed

    async def until_readable(self) -> None:
        await Gate.opened.wait()
        self.passed = True

    async def read(self, offset: int, size: int) -> bytes:
        if offset:
            return b""
        if self.passed:
            return b"complete\n"
        Gate.readers += 1
        try:
            await Gate.opened.wait()
        finally:
            Gate.readers -= 1
        return b"complete\n"


class Text(Handle):
    def __init__(self, text: str) -> None:
        self.text = text.encode()

    async def read(self, offset: int, size: int) -> bytes:
        if self.text == b"bug":
            raise RuntimeError("a read that breaks")
        return self.text[offset : offset + size]


class Told(Text):
    """Is told of every close, as mail that is read must be."""

    async def commit(self) -> None:
        COMMITS.append("/told closed")


class Odd(Handle):
    """Gives back what no handle may."""

    async def read(self, offset: int, size: int) -> bytes:
        return "text"  # type: ignore[return-value]

    async def write(self, offset: int, data: bytes) -> int:
        return -1


class OddFile(File):
    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        return Odd()


class ToldFile(File):
    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        return Told("news")


class Stuck(Gathering):
    """Cannot be stored, for the store is away."""

    async def commit(self) -> None:
        await trio.sleep_forever()


class StuckFile(File):
    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        return Stuck(self.path)


class GateHandle(Handle):
    async def write(self, offset: int, data: bytes) -> int:
        Gate.opened.set()
        Gate.opened = trio.Event()
        return len(data)


class DocumentFile(File):
    paged = False

    async def attributes(self) -> Attributes:
        if self.path not in DOCUMENTS:
            raise Missing(f"there is no {self.path}")
        return Attributes(len(DOCUMENTS[self.path]), 10**18)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        await self.attributes()
        return Document(self.path, mode, paged=self.paged)

    async def truncate(self, size: int, caller: Caller) -> None:
        DOCUMENTS[self.path] = DOCUMENTS[self.path][:size].ljust(size, b"\0")


class PagedFile(DocumentFile):
    paged = True
    keep = Keep(1.0, 1.0)


class MailFile(File):
    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        return Gathering(self.path)


class WaitFile(File):
    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        return Waiting()


class GateFile(File):
    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        return GateHandle()


class TextFile(File):
    async def attributes(self) -> Attributes:
        return Attributes(0, writable=False)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        return Text(text_of(self.path, caller))


class HeldFile(File):
    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        if mode.write:
            raise Held("somebody has it")
        return Text("held")

    async def set_times(self, caller: Caller) -> None:
        raise Held("somebody has it")


class SlowFile(File):
    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        await trio.sleep_forever()
        raise AssertionError


class Documents(Directory):
    made: type[DocumentFile] = DocumentFile

    async def lookup(self, name: str, caller: Caller) -> Node:
        path = self.child(name)
        if path not in DOCUMENTS:
            raise Missing(f"there is no {path}")
        return self.made(path)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        start = self.path + "/"
        return [
            (path[len(start) :], self.made(path))
            for path in DOCUMENTS
            if path[: len(start)] == start
        ]

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        path = self.child(name)
        node = self.made(path)
        return node, Document(path, mode, paged=node.paged, new=True)

    async def unlink(self, name: str, caller: Caller) -> None:
        DOCUMENTS.pop(self.child(name))

    async def rename(
        self, name: str, target: Directory, new: str, caller: Caller, *, exclusive: bool
    ) -> None:
        DOCUMENTS[target.child(new)] = DOCUMENTS.pop(self.child(name))


class Files(Documents):
    made = PagedFile


class Mail(Directory):
    async def lookup(self, name: str, caller: Caller) -> Node:
        return MailFile(self.child(name))

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        return []


class Many(Directory):
    async def lookup(self, name: str, caller: Caller) -> Node:
        if not name.isdigit():
            raise Missing(name)
        return Numbered(self.child(name))

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        return [(f"{n:05}", Numbered(self.child(f"{n:05}"))) for n in range(MANY)]


class Numbered(File):
    async def attributes(self) -> Attributes:
        await trio.lowlevel.checkpoint()
        number = int(self.path[-5:])
        if number == 7:
            raise Missing("removed since it was listed")
        return Attributes(number)

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        return Text(self.path)


class Claims(Directory):
    """`mkdir` makes what the next look-up shows as a file."""

    async def lookup(self, name: str, caller: Caller) -> Node:
        if self.child(name) not in DOCUMENTS:
            raise Missing(name)
        return DocumentFile(self.child(name))

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        return []

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        DOCUMENTS[self.child(name)] = f"{caller.agent}\n".encode()
        return Empty(self.child(name))


class Empty(Directory):
    async def lookup(self, name: str, caller: Caller) -> Node:
        raise Missing(name)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        return []


class Root(Directory):
    async def lookup(self, name: str, caller: Caller) -> Node:
        path = self.child(name)
        if name == "broken":
            raise ValueError("a look-up that breaks")
        kinds: dict[str, type[Node]] = {
            "docs": Documents,
            "files": Files,
            "mail": Mail,
            "many": Many,
            "claims": Claims,
            "wait": WaitFile,
            "gate": GateFile,
            "held": HeldFile,
            "slow": SlowFile,
            "odd": OddFile,
            "told": ToldFile,
            "stuck": StuckFile,
        }
        if name in kinds:
            node = kinds[name](path)
            if isinstance(node, Directory):
                node.keep = FIXED
            return node
        if name in (
            "commits",
            "refusals",
            "inodes",
            "agent",
            "released",
            "readers",
            "polls",
            "bug",
        ):
            return TextFile(path)
        raise Missing(f"there is no {path}")

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        return [(name, await self.lookup(name, caller)) for name in ("docs", "mail", "commits")]


def text_of(path: str, caller: Caller) -> str:
    match path:
        case "/commits":
            return "".join(f"{line}\n" for line in COMMITS)
        case "/released":
            return "".join(f"{line}\n" for line in RELEASED)
        case "/refusals":
            return REFUSALS.text(caller.agent)
        case "/inodes":
            return str(next(len(one) for one in gc.get_objects() if isinstance(one, Inodes)))
        case "/readers":
            return str(Gate.readers)
        case "/polls":
            return str(METRICS.served["poll", 0])
        case "/agent":
            return f"{caller.agent}\n{IDENTITY.explain(caller)}"
    return "bug"


def main() -> None:
    mountpoint, limit, unmount = sys.argv[1:4]
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    options = Options(mountpoint=mountpoint, limit=float(limit), auto_unmount=unmount == "auto")

    def ready() -> None:
        print("READY", flush=True)

    async def run() -> None:
        root = Root("/")
        await serve(
            root, options, identity=IDENTITY, refusals=REFUSALS, metrics=METRICS, ready=ready
        )

    began = time.monotonic()
    trio.run(run)
    print("COMMITS", *COMMITS, sep="\n")
    print("RELEASED", *RELEASED, sep="\n")
    print(f"ENDED {os.getpid()} after {time.monotonic() - began:.1f}", flush=True)


if __name__ == "__main__":
    main()
