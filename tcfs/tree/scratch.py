"""What editors and desktops make for themselves: it lives in the memory of this mount.

Swap files, backups, locks and files written to be renamed are nobody's value, note or message. This
room knows which names they have, and keeps them by directory; it knows nothing of nodes.
"""

import errno
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

from tcfs.wire.ids import AgentId

LIMIT: Final = 64 << 20  # bytes in all
ENTRY: Final = 4096  # bytes that one counts for whatever it holds, so that their number is bounded
YOUNG: Final = 60.0  # seconds in which whoever made one may still rename it

_log = logging.getLogger("tcfs.tree")

# tree.md, "Names that editors and desktops make for themselves"
_ALWAYS: Final = re.compile(
    r"""
      \..*\.sw.x?             # vim: swap files
    | .*~                     # vim, emacs, gedit: backups
    | \#.*\#                  # emacs: what it saves by itself
    | \.\#.*                  # emacs: locks
    | \.~lock\..*\#           # LibreOffice: locks, or it opens nothing
    | \.goutputstream-.*      # GLib, and so gedit
    | \.fuse_hidden.*         # libfuse, of another mount that was copied
    | \.nfs.*                 # NFS: removed while in use
    | \..+\.[A-Za-z0-9]{6}    # rsync
    """,
    re.VERBOSE | re.DOTALL,
)
_EXCLUSIVE: Final = re.compile(
    r"""
      4913                    # vim: may files be made here?
    | sed.{6}                 # sed -i
    | .*\.tmp | .*\.part      # many
    """,
    re.VERBOSE | re.DOTALL,
)


def is_scratch(name: str) -> bool:
    """Tell whether whoever makes a file of that name makes it for itself, however it is made."""
    return _ALWAYS.fullmatch(name) is not None


def is_scratch_if_new(name: str) -> bool:
    """Tell the same of a file that is made with O_EXCL."""
    return is_scratch(name) or _EXCLUSIVE.fullmatch(name) is not None


@final
class Scratch:
    """One of them: its bytes, or where it leads if it is a symbolic link."""

    __slots__ = ("_content", "_kept", "_open", "_room", "_written", "agent", "modified", "target")

    def __init__(self, room: "Room", agent: AgentId, target: str | None) -> None:
        self.agent = agent
        self.modified = time.time_ns()
        self.target = target
        self._room = room
        self._content = bytearray()
        self._open = 0
        self._kept = True  # it has a name, or will have
        self._written = False  # it became something else, or is becoming that

    def __len__(self) -> int:
        return len(self._content)

    @property
    def idle(self) -> bool:
        """Whether nobody has it open."""
        return self._open == 0

    def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset` on."""
        return bytes(self._content[offset : offset + size])

    @property
    def gone(self) -> bool:
        """Whether it is neither named nor open: its room is given back."""
        return not self._kept and not self._open

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`; raises OSError ENOSPC, or ESTALE for one that was renamed."""
        self._grow(max(len(self._content), offset + len(data)))
        self._content[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        """Cut or extend it."""
        self._grow(size)
        del self._content[size:]

    @contextmanager
    def becoming(self) -> Iterator[bytes]:
        """Give what it holds, to be stored under a name that is meant; it is this no longer then.

        Nothing can be written meanwhile: it would be neither here nor in what is stored.
        """
        self._written = True
        try:
            yield bytes(self._content)
        except BaseException:
            self._written = False
            raise

    def opened(self) -> None:
        """Take note that somebody has it open."""
        self._open += 1

    def closed(self) -> None:
        """Take note that somebody has closed it."""
        self._open -= 1
        self._free()

    def unnamed(self) -> None:
        """Take note that its name is gone; whoever has it open goes on using it."""
        self._kept = False
        self._free()

    def _grow(self, size: int) -> None:
        if self._written:
            raise OSError(errno.ESTALE, "this file was renamed and is stored; open it again")
        more = size - len(self._content)
        self._room.take(more)
        if more > 0:
            self._content.extend(bytes(more))
        self.modified = time.time_ns()

    def _free(self) -> None:
        if not self._kept and not self._open:
            self._room.give(len(self._content) + ENTRY)
            self._content.clear()


@final
class Room:
    """All of one mount, by the path of their directory and their name."""

    __slots__ = ("_directories", "_used")

    def __init__(self) -> None:
        self._directories: dict[str, dict[str, Scratch]] = {}
        self._used = 0

    def find(self, directory: str, name: str) -> Scratch | None:
        """Return the one of that name, None where there is none."""
        return self._directories.get(directory, {}).get(name)

    def of(self, directory: str) -> list[tuple[str, Scratch]]:
        """Return all of a directory, by name."""
        return sorted(self._directories.get(directory, {}).items(), key=lambda it: it[0])

    def make(self, directory: str, name: str, agent: AgentId, target: str | None = None) -> Scratch:
        """Make one, in place of any of that name; raises OSError ENOSPC."""
        made = self.unnamed(agent, target)
        self.name(directory, name, made)
        return made

    def unnamed(self, agent: AgentId, target: str | None = None) -> Scratch:
        """Make one that is to have a name, or to be `unnamed`; raises OSError ENOSPC."""
        self.take(ENTRY)
        return Scratch(self, agent, target)

    def name(self, directory: str, name: str, scratch: Scratch) -> None:
        """Give one its name, in place of any that has it."""
        names = self._directories.setdefault(directory, {})
        if name in names:
            names[name].unnamed()
        names[name] = scratch

    def drop(self, directory: str, name: str) -> bool:
        """Remove one, and tell whether there was one."""
        names = self._directories.get(directory, {})
        found = names.pop(name, None)
        if found is None:
            return False
        if not names:
            del self._directories[directory]
        found.unnamed()
        return True

    def move(self, directory: str, name: str, target: str, new: str) -> None:
        """Rename one that is there, in place of any of the new name."""
        if (directory, name) == (target, new):
            return
        found = self._directories[directory].pop(name)
        if not self._directories[directory]:
            del self._directories[directory]
        self.name(target, new, found)

    def left(self) -> Iterator[tuple[str, Scratch]]:
        """Return what lies here, with its path."""
        for directory, names in self._directories.items():
            for name, found in names.items():
                yield f"{directory}/{name}", found

    def lines(self, agent: AgentId) -> str:
        """Return a line for `.tcfs/errors` on each that an agent seems to have forgotten."""
        before = time.time_ns() - int(YOUNG * 1e9)
        return "".join(
            f"{path.encode('unicode_escape').decode()} lies in the memory of this mount only; "
            "rename it to keep it, rm it if not\n"
            for path, found in self.left()
            if found.agent == agent and found.idle and found.modified < before
        )

    def log_what_is_lost(self) -> None:
        """Say in the log what goes with the mount."""
        for path, found in self.left():
            _log.warning("%r was in the memory of this mount only: %d bytes", path, len(found))

    def take(self, size: int) -> None:
        """Take room, or give it back where `size` is negative; raises OSError ENOSPC."""
        if size > 0 and self._used + size > LIMIT:
            raise OSError(
                errno.ENOSPC,
                f"what programs make for themselves may hold {LIMIT >> 20} MiB; use artifacts/",
            )
        self._used += size

    def give(self, size: int) -> None:
        """Give room back."""
        self._used -= size
