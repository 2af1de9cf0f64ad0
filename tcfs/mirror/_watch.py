"""Which sources may have something new, as the kernel tells: inotify on the directories they name.

What the kernel of this machine does not see, such as a write that another machine makes to a shared
file system, or more directories than a user may watch, leaves a source *blind*: somebody has to
look. Knows nothing of transcripts.
"""

import logging
from collections.abc import Collection
from contextlib import suppress
from errno import ENOMEM, ENOSPC
from pathlib import Path
from typing import Final, final

import trio
from inotify_simple import INotify, flags  # type: ignore[import-untyped]  # it has no types

from tcfs.mirror._mounts import Shares

log: Final = logging.getLogger(__name__)

_NO_MORE: Final = (ENOSPC, ENOMEM)
# Not of a directory that was removed: what is written to a file without a name is nobody's line.
_MASK: Final = (
    flags.CREATE | flags.MODIFY | flags.ATTRIB | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO
    | flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR | flags.EXCL_UNLINK
)  # fmt: skip


@final
class Watch:
    """The directories of some sources, each by its name.

    `follow` blocks for a moment, so it is for a worker thread, while nobody calls anything else.
    """

    def __init__(self) -> None:
        self._wanted: dict[str, frozenset[Path]] = {}
        self._watched: dict[Path, int] = {}
        self._paths: dict[int, set[Path]] = {}  # more than one may lead to a directory
        self._changed = set[str]()
        self._blind = set[str]()
        self._told = False
        self._inotify = self._opened()

    @property
    def blind(self) -> frozenset[str]:
        """The sources that may change with nothing to tell so."""
        return frozenset(self._blind)

    def close(self) -> None:
        """Let go of everything."""
        if self._inotify is not None:
            self._inotify.close()

    def follow(self, source: str, directories: Collection[Path]) -> None:
        """Watch the directories of a source, and no others for it.

        What was not watched before may have changed since it was listed: the source counts as
        changed.
        """
        self._wanted[source] = frozenset(directories)
        needed = frozenset[Path]().union(*self._wanted.values())
        for path in self._watched.keys() - needed:
            self._drop(path)
        sees = bool(directories) and self._inotify is not None
        if sees and (new := self._wanted[source] - self._watched.keys()):
            self._changed.add(source)
            shares = Shares.now()
            sees = all(not shares.holds(it) and self._add(it) for it in new)
        (self._blind.discard if sees else self._blind.add)(source)

    async def wait(self) -> None:
        """Wait until `taken` has something to tell."""
        while not self._changed:
            if self._inotify is None:
                await trio.sleep_forever()
            else:
                await trio.lowlevel.wait_readable(self._inotify.fileno())
                self._read()

    def taken(self) -> set[str]:
        """Return the sources that changed since this was asked last."""
        self._read()
        changed, self._changed = self._changed, set()
        return changed

    # inside

    def _opened(self) -> INotify | None:
        try:
            return INotify(nonblocking=True)
        except OSError as error:  # a user has 128 of them, and containers share these
            self._tell(error)
            return None

    def _tell(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            log.warning(
                "transcripts are looked through every few seconds, as not all of their directories "
                "can be watched (%s); fs.inotify.max_user_watches and max_user_instances limit it",
                error.strerror,
            )

    def _add(self, path: Path) -> bool:
        """Watch a directory; false if what happens in it goes unseen."""
        assert self._inotify is not None
        try:
            number = self._inotify.add_watch(path, _MASK)
        except OSError as error:
            if error.errno not in _NO_MORE:
                # Gone since it was listed, or not ours to read: what is above it tells of both.
                return True
            self._tell(error)
            return False
        self._watched[path] = number
        self._paths.setdefault(number, set()).add(path)
        return True

    def _drop(self, path: Path) -> None:
        number = self._watched.pop(path)
        self._paths[number].discard(path)
        if not self._paths[number]:
            del self._paths[number]
            assert self._inotify is not None
            with suppress(OSError):  # the directory is gone, and its watch with it
                self._inotify.rm_watch(number)

    def _read(self) -> None:
        events = [] if self._inotify is None else self._inotify.read(timeout=0)
        changed = set[Path]()
        for it in events:
            if it.mask & flags.Q_OVERFLOW:
                changed |= self._watched.keys()
            paths = self._paths.get(it.wd, ())
            changed.update(paths)
            if it.mask & (flags.MOVE_SELF | flags.IGNORED):
                # The watch goes where the directory went; another may stand in its place.
                for path in tuple(paths):
                    self._drop(path)
        self._changed |= {
            source for source, wanted in self._wanted.items() if not changed.isdisjoint(wanted)
        }
