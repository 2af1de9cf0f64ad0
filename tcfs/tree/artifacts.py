"""`artifacts/` and every other directory of ordinary files (tree.md, artifacts)."""

from collections.abc import Sequence
from typing import Final, Protocol, final, runtime_checkable

from tcfs.project.errors import Exists, Invalid, Missing, NotAllowed, OtherDirectory
from tcfs.tree._base import STATIC, Caller, Directory, File, Handle, Keep, Link, Node, OpenMode
from tcfs.tree._view import View
from tcfs.tree.plain import PlainFile
from tcfs.wire import InvalidName, keys
from tcfs.wire.ids import StepId, step_id
from tcfs.wire.keys import MAX_KEY

SECOND: Final = Keep(entry=1.0, attributes=1.0)  # architecture.md: artifacts and plain files
SHARED: Final = "shared"
MAX_NAME: Final = 255  # bytes, as everywhere on Linux
_ROOM: Final = 128  # bytes of a key that the project may take

OWN: Final = frozenset(
    {"agents", "memory", "messages", "steps", "ready", "locks", "artifacts", "sessions"}
    | {"as", ".tcfs"}
)
"""Prefixes that are the project's own; any other is a plain directory at the root."""


def key_of(prefix: str, name: str) -> str:
    """Return the key of a name below `prefix`; raises Invalid for one that none can have."""
    try:
        size, whole = len(name.encode()), len(f"{prefix}{name}".encode())
    except UnicodeEncodeError:
        raise Invalid(f"a name is UTF-8 text; {name!r} is not: rename it first") from None
    if size > MAX_NAME or whole > MAX_KEY - _ROOM:
        raise Invalid(
            f"a name has {MAX_NAME} bytes at most, a path {MAX_KEY - _ROOM}; shorten {name!r}"
        )
    return f"{prefix}{name}"


@runtime_checkable
class HasKeys(Protocol):
    """A directory that ordinary files can be moved to."""

    def key(self, name: str) -> str:
        """Return the key of the file of that name; raises Refused for a name that none can have."""
        ...


@final
class PlainDirectory(Directory):
    """A directory of ordinary files. `prefix` begins the keys of what is in it, and ends in `/`."""

    __slots__ = ("_prefix", "_view", "keep")

    def __init__(self, path: str, view: View, prefix: str, *, keep: Keep = SECOND) -> None:
        super().__init__(path)
        self._view = view
        self._prefix = prefix
        self.keep = keep

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return the file, or the directory."""
        try:
            key = key_of(self._prefix, name)
        except Invalid as error:
            raise Missing(str(error)) from None
        path = self.child(name)
        try:
            found = await self._view.project.files.look_up(key)
        except Missing:
            raise Missing(f"{path} does not exist") from None
        if found is None:
            return PlainDirectory(path, self._view, f"{key}/")
        return PlainFile(path, self._view, key, found, keep=SECOND)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return what is in it."""
        level = await self._view.project.files.level(self._prefix)
        view, prefix = self._view, self._prefix
        listed: list[tuple[str, Node]] = [
            (name, PlainDirectory(self.child(name), view, f"{prefix}{name}/"))
            for name in level.directories
        ]
        listed += [
            (name, PlainFile(self.child(name), view, f"{prefix}{name}", found, keep=SECOND))
            for name, found in level.files.items()
        ]
        return listed

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        """Make a file."""
        key = key_of(self._prefix, name)
        return await PlainFile.create(self.child(name), self._view, key, mode, caller, keep=SECOND)

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """Make a directory: it is this mount's until something is stored in it."""
        key = key_of(self._prefix, name)
        self._view.acting(caller)
        self._view.project.files.make_directory(key)
        return PlainDirectory(self.child(name), self._view, f"{key}/")

    async def symlink(self, name: str, target: str, caller: Caller) -> Node:
        """Refuse: no object is a link."""
        raise NotAllowed(f"{self.path} keeps no symbolic links; copy the file: cp -L")

    async def unlink(self, name: str, caller: Caller) -> None:
        """Remove a file."""
        self._view.acting(caller)
        await self._view.project.files.remove(key_of(self._prefix, name))

    async def rmdir(self, name: str, caller: Caller) -> None:
        """Remove an empty directory."""
        self._view.acting(caller)
        await self._view.project.files.remove_directory(key_of(self._prefix, name))

    async def rename(
        self, name: str, target: Directory, new: str, caller: Caller, *, exclusive: bool
    ) -> None:
        """Move a file, here or to another such directory."""
        if not isinstance(target, HasKeys):
            raise OtherDirectory(f"{self.child(name)} cannot be moved there; copy it: cp, then rm")
        key, to = self.key(name), target.key(new)
        self._view.acting(caller)
        await self._view.project.files.rename(key, to, exclusive=exclusive)

    def key(self, name: str) -> str:
        """Return the key of the file of that name; raises Invalid."""
        return key_of(self._prefix, name)


@final
class ArtifactsDirectory(Directory):
    """`artifacts/`: a directory a step, and one that all share."""

    __slots__ = ("_view",)
    keep = STATIC

    def __init__(self, path: str, view: View) -> None:
        super().__init__(path)
        self._view = view

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return a step's directory; another spelling of its id is a symbolic link to it."""
        try:
            step = step_id(name)
        except InvalidName as error:
            raise Missing(str(error)) from None
        if step != SHARED and not await self._is_there(step):
            raise Missing(f"nothing is known of step {step} yet; mkdir artifacts/{step} makes it")
        if step != name:
            return Link(self.child(name), step)
        return self._below(step)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return the steps that have artifacts, and `shared`."""
        level = await self._view.project.files.level(keys.ARTIFACTS)
        names = dict.fromkeys([*level.directories, SHARED])
        return [(name, self._below(StepId(name))) for name in names if _is_step(name)]

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        """Refuse: what is shared lies in `shared`."""
        raise NotAllowed(
            f"an artifact belongs to a step or to all: write artifacts/STEP/{name}, "
            f"or artifacts/{SHARED}/{name}"
        )

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """Make the directory of a step of which nothing is known yet."""
        step = step_id(name)
        if step == SHARED:
            raise Exists(f"artifacts/{SHARED} is always there")
        self._view.acting(caller)
        self._view.project.files.make_directory(f"{keys.ARTIFACTS}{step}")
        # Under the name as it was given, which the next look-up shows as a link.
        return PlainDirectory(self.child(name), self._view, f"{keys.ARTIFACTS}{step}/", keep=Keep())

    async def rmdir(self, name: str, caller: Caller) -> None:
        """Remove a step's directory, when it is empty."""
        self._view.acting(caller)
        step = step_id(name)
        if step == SHARED:
            raise NotAllowed(f"artifacts/{SHARED} is always there; remove what is in it")
        await self._view.project.files.remove_directory(f"{keys.ARTIFACTS}{step}")

    def _below(self, step: StepId) -> PlainDirectory:
        return PlainDirectory(self.child(step), self._view, f"{keys.ARTIFACTS}{step}/")

    async def _is_there(self, step: StepId) -> bool:
        files = self._view.project.files
        return await files.any_of(f"{keys.ARTIFACTS}{step}/", keys.step(step))


def _is_step(name: str) -> bool:
    try:
        return step_id(name) == name
    except InvalidName:
        return False
