"""What `ls`, `cat`, `put`, `append`, `rm`, `mkdir` and `stat` do, over the tree's own nodes."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import RawIOBase
from typing import BinaryIO, Final, TypeVar, final

import trio

from tcfs.cli._visit import Visit
from tcfs.project.errors import Missing
from tcfs.stores import Buffer, NotFound
from tcfs.tree import Attributes, Directory, Handle, Link, Node, OpenMode
from tcfs.tree.walk import READ

T = TypeVar("T")

PART: Final = 1 << 20  # bytes read and written at once

Source = BinaryIO | RawIOBase


@final
@dataclass(frozen=True, slots=True)
class Row:
    """What a path is. `modified` is in nanoseconds since 1970, 0 where nothing tells."""

    name: str
    kind: str
    attributes: Attributes
    target: str | None


async def listed(visit: Visit, path: str, *, attributes: bool) -> Sequence[Row]:
    """Return what is in a directory; a file is itself. Attributes are asked for where wanted."""
    node = await visit.in_time(visit.walk.find(path))
    if not isinstance(node, Directory):
        return [await _row(visit, path, node, attributes=attributes)]
    entries = await visit.in_time(visit.walk.entries(node))
    rows = []
    for name, it in entries:
        with suppress(Missing, NotFound):  # gone since it was listed
            rows.append(await _row(visit, name, it, attributes=attributes))
    return rows


async def seen(visit: Visit, path: str) -> Row:
    """Return what is at a path; of a symbolic link, the link."""
    node = await visit.in_time(visit.walk.find_itself(path))
    return await _row(visit, node.path, node, attributes=True)


async def _row(visit: Visit, name: str, node: Node, *, attributes: bool) -> Row:
    shown = node.listed
    if shown is None:
        shown = await visit.in_time(node.attributes()) if attributes else Attributes()
    return Row(name, node.kind.value, shown, node.target if isinstance(node, Link) else None)


async def read(visit: Visit, path: str, sink: Callable[[Buffer], object]) -> None:
    """Give all of a file to `sink`, part by part; one that blocks may take however long."""
    handle = await visit.in_time(visit.walk.open(path, READ))
    try:
        offset = 0
        while part := await _unless_unhurried(visit, handle, handle.read(offset, PART)):
            offset += len(part)
            sink(part)
        await visit.in_time(handle.commit())  # it is read: mail is marked so
    finally:
        await handle.release()


async def write(visit: Visit, path: str, mode: OpenMode, source: Source) -> None:
    """Write what `source` gives to a file, which is stored when there is no more of it."""
    handle = await visit.in_time(visit.walk.open(path, mode))
    # Of O_APPEND the kernel makes an offset: where the file ends.
    offset = (handle.size() or 0) if mode.append else 0
    try:
        while part := await _part_of(source):
            offset += await _unless_unhurried(visit, handle, handle.write(offset, part))
        await _unless_unhurried(visit, handle, handle.commit())
    except BaseException:
        handle.discard()
        raise
    finally:
        await handle.release()


async def _part_of(source: Source) -> bytes:
    # Filled up: what is less than a part is one write, and so one document.
    part = bytearray()
    while len(part) < PART:
        # In a thread, or a claim's status would wait for whoever writes the note.
        more = await trio.to_thread.run_sync(source.read, PART - len(part), abandon_on_cancel=True)
        if more is None:  # nothing yet: whoever has the other end made it non-blocking
            await trio.lowlevel.wait_readable(source.fileno())
            continue
        if not more:
            break
        part += more
    return bytes(part)


async def _unless_unhurried(visit: Visit, handle: Handle, act: Awaitable[T]) -> T:
    """Wait in time for what an open file does, unless it waits on purpose or is a transfer."""
    return await (act if handle.unhurried else visit.in_time(act))


async def remove(visit: Visit, paths: Sequence[str], *, tree: bool) -> None:
    """Remove files, or directories with what is in them."""
    for path in paths:
        await (visit.walk.remove_tree(path) if tree else visit.in_time(visit.walk.remove(path)))


async def make(visit: Visit, paths: Sequence[str], *, parents: bool) -> None:
    """Make directories; with `parents` those above them, and none where there is one."""
    for path in paths:
        if parents:
            await visit.in_time(visit.walk.make_directories(path))
        else:
            await visit.in_time(visit.walk.make_directory(path))
