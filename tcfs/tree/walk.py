"""Paths, walked over the nodes as the kernel walks them: for a command, which has no mount.

Knows `/`, `.`, `..` and symbolic links; everything else is the nodes' own.
"""

import errno
import os
from collections.abc import Sequence
from typing import Final, final

from tcfs.project.errors import Invalid, Missing
from tcfs.stores import NotFound
from tcfs.tree._base import Caller, Directory, File, Handle, Link, Node, OpenMode
from tcfs.tree._claim import ClaimFile
from tcfs.tree._scratched import ScratchFile
from tcfs.tree.artifacts import PlainDirectory
from tcfs.tree.locks import LockDirectory, LockFile
from tcfs.wire.ids import mailbox

LINKS: Final = 40  # symbolic links on the way: what Linux follows

READ: Final = OpenMode()
REPLACE: Final = OpenMode(read=False, write=True, truncate=True)
APPEND: Final = OpenMode(read=False, write=True, append=True)
EXCLUSIVE: Final = OpenMode(read=False, write=True, exclusive=True)


@final
class Walk:
    """The tree below `root`, as `caller` asks it.

    A path may begin with `/` or not: it begins at the root. Everything raises what the nodes
    raise, and OSError where the kernel would have answered by itself.
    """

    def __init__(self, root: Directory, caller: Caller) -> None:
        self._root = root
        self._caller = caller

    async def find(self, path: str) -> Node:
        """Return what is at `path`; a symbolic link is followed."""
        return (await self._descend([self._root], path, LINKS))[1]

    async def find_itself(self, path: str) -> Node:
        """Return what is at `path`; a symbolic link itself, if that is there."""
        names = _names(path)
        if not names or names[-1] == ".." or path.endswith("/"):
            return await self.find(path)
        directory = _directory(await self.find("/".join(names[:-1])))
        return await directory.lookup(names[-1], self._caller)

    async def entries(self, directory: Directory) -> Sequence[tuple[str, Node]]:
        """Return what a listing of `directory` shows."""
        return await directory.entries(self._caller)

    async def open(self, path: str, mode: OpenMode) -> Handle:
        """Open a file, or make it where it is to be written and is not there."""
        return await self._open([self._root], path, mode, LINKS)

    async def remove(self, path: str) -> None:
        """Remove a file."""
        directory, name, node = await self._entry(path)
        if isinstance(node, Directory):
            raise _failed(errno.EISDIR, path, "rm -r removes it")
        await directory.unlink(name, self._caller)

    async def remove_tree(self, path: str) -> None:
        """Remove a file, or a directory with all that is listed in it."""
        await self._remove_tree(*await self._entry(path))

    async def make_directory(self, path: str) -> Directory:
        """Make a directory; what comes of it may be another thing, a claim for one."""
        directory, name = await self._above(path)
        if name is None:
            raise _failed(errno.EEXIST, path, "it is always there")
        try:
            node = await directory.lookup(name, self._caller)
        except (Missing, NotFound):
            if _parts(directory) == ["messages"]:
                # Made in a mount, a mailbox is there as long as the mount is.
                box = mailbox(name)
                raise Missing(
                    f"there is no agent {box}, and no mount that would keep a mailbox for it; "
                    f"tcfs init --agent {box} registers it"
                ) from None
            return await directory.mkdir(name, self._caller)
        await self._refuse_claim(node)
        raise _failed(errno.EEXIST, path, "mkdir -p does without making it")

    async def make_directories(self, path: str) -> None:
        """Make a directory and those above it, as far as they are not there."""
        so_far = ""
        for name in _names(path):
            so_far += f"/{name}"
            try:
                node = await self.find(so_far)
            except (Missing, NotFound):
                node = await self.make_directory(so_far)
            if not isinstance(node, Directory):
                raise _failed(errno.ENOTDIR, so_far, "choose another name")

    async def _descend(
        self, way: Sequence[Directory], path: str, links: int, *, make_way: bool = False
    ) -> tuple[list[Directory], Node]:
        """Return the directories from the root down to what is at `path`, and that.

        `way` are those down to where the path begins. With `make_way`, directories that are not
        there are made where they are but names, and would last no longer than this process.
        """
        stack, here = list(way), way[-1]
        node: Node = here
        for name in _names(path):
            here = _directory(node)
            if name == "..":
                del stack[max(1, len(stack) - 1) :]
                node = stack[-1]
                continue
            try:
                node = await here.lookup(name, self._caller)
            except Missing:
                if not make_way or not _is_names_only(here):
                    raise
                node = await here.mkdir(name, self._caller)
            if isinstance(node, Link):
                stack, node = await self._descend(stack, _target(node, links), links - 1)
            elif isinstance(node, Directory):
                stack.append(node)
        if path.endswith("/"):
            _directory(node)
        return stack, node

    async def _open(
        self, way: Sequence[Directory], path: str, mode: OpenMode, links: int
    ) -> Handle:
        names = _names(path)
        if not names or names[-1] == ".." or path.endswith("/"):
            _, node = await self._descend(way, path, links)
            raise _failed(errno.EISDIR, node.path, "ls shows what is in it")
        above = "/".join(names[:-1])
        stack, node = await self._descend(way, above, links, make_way=mode.write)
        directory = _directory(node)
        try:
            node = await directory.lookup(names[-1], self._caller)
        except (Missing, NotFound):
            if not mode.write:
                raise
            return await self._create(directory, names[-1], mode)
        if isinstance(node, Link):
            return await self._open(stack, _target(node, links), mode, links - 1)
        if not isinstance(node, File):
            raise _failed(errno.EISDIR, node.path, "ls shows what is in it")
        if mode.exclusive:
            await self._refuse_claim(node)
            raise _failed(errno.EEXIST, node.path, "it was to be new; leave out --exclusive")
        return await node.open(mode, self._caller)

    async def _create(self, directory: Directory, name: str, mode: OpenMode) -> Handle:
        file, handle = await directory.create(name, mode, self._caller)
        if isinstance(file, ScratchFile):
            await handle.release()
            raise Invalid(
                f"{file.path} is a name that programs make for themselves, which only a mount "
                "keeps; choose another, or use artifacts/"
            )
        return handle

    async def _refuse_claim(self, node: Node) -> None:
        # The kernel answers File exists by itself; here it can be said who has it.
        if isinstance(node, ClaimFile):
            await node.open(REPLACE, self._caller)
        if isinstance(node, LockDirectory | LockFile):
            raise await node.refusal()

    async def _above(self, path: str) -> tuple[Directory, str | None]:
        """Return the directory that holds the last name of `path`, and that name; None: `/`."""
        names = _names(path)
        if not names:
            return self._root, None
        if names[-1] == "..":
            raise Invalid(f"{path} ends in ..; name what is meant")
        return _directory(await self.find("/".join(names[:-1]))), names[-1]

    async def _entry(self, path: str) -> tuple[Directory, str, Node]:
        directory, name = await self._above(path)
        if name is None:
            raise _failed(errno.EBUSY, "/", "remove what is in it, by name")
        return directory, name, await directory.lookup(name, self._caller)

    async def _remove_tree(self, directory: Directory, name: str, node: Node) -> None:
        if not isinstance(node, Directory):
            await directory.unlink(name, self._caller)
            return
        for inner, child in await node.entries(self._caller):
            await self._remove_tree(node, inner, child)
        await directory.rmdir(name, self._caller)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _parts(node: Node) -> list[str]:
    """Return the names that lead to a node, as they are without `as/<agent>`."""
    names = _names(node.path)
    return names[2:] if names[:1] == ["as"] else names


def _is_names_only(directory: Directory) -> bool:
    # Nowhere else: below `steps/x` it would claim, and mail to the misspelt is refused.
    areas = (["memory"], ["artifacts"])
    return _parts(directory)[:1] in areas or isinstance(directory, PlainDirectory)


def _directory(node: Node) -> Directory:
    if not isinstance(node, Directory):
        raise _failed(errno.ENOTDIR, node.path, "nothing is below it")
    return node


def _target(link: Link, links: int) -> str:
    if not links:
        raise _failed(errno.ELOOP, link.path, "mend the link")
    if link.target.startswith("/"):
        raise Missing(f"{link.path} leads out of the tree, to {link.target}; there is no mount")
    return link.target


def _failed(code: int, path: str, what_to_do: str) -> OSError:
    return OSError(code, f"{os.strerror(code)}; {what_to_do}", path)
