"""`poll`, `select` and `epoll` on open files.

A file that waits on purpose is ready when a read would return at once; every other file always is.
The kernel asks once, and again when it is notified, so whoever polls holds no request while it
sleeps, and a signal ends it as everywhere. From the first question until the file is closed, or
ready, a task waits for what the reader would: that somebody has ceased to poll is not told.
"""

import logging
from select import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from typing import Final, final

import trio
from pyfuse3 import PollHandle

from tcfs.project._apart import start_apart
from tcfs.tree._base import Handle

READ: Final = POLLIN | POLLRDNORM
ALWAYS: Final = READ | POLLOUT | POLLWRNORM  # what the kernel says of a file it need not ask about

_log = logging.getLogger("tcfs.fuse")


@final
class _Watched:
    __slots__ = ("failed", "scope", "told")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.told: PollHandle | None = None  # the kernel's latest; one wakes all who poll the file
        self.failed = False  # a read would, at once

    def notify(self) -> None:
        handle, self.told = self.told, None
        if handle is None:
            return
        try:
            handle.notify()
        except OSError as error:
            _log.debug("nobody polls any more: %s", error)


@final
class Polls:
    """Who polls the files of a mount."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}
        self._nursery: trio.Nursery | None = None

    def __len__(self) -> int:
        return len(self._watched)

    async def run(self) -> None:
        """Watch what is polled, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    def answer(self, fh: int, handle: Handle, told: PollHandle | None) -> int:
        """Return what an open file is ready for; never waits. `told` is how to tell of more."""
        if not handle.blocking:
            return ALWAYS
        if self._nursery is None or handle.readable:
            return READ
        watched = self._watched.get(fh)
        if watched is None:
            watched = self._watched[fh] = _Watched()
            start_apart(self._nursery, self._watch, fh, handle, watched)
        elif watched.failed:
            return READ
        watched.told = told or watched.told
        return 0

    def forget(self, fh: int) -> None:
        """Take note that a file was closed."""
        watched = self._watched.pop(fh, None)
        if watched is not None:
            watched.scope.cancel()

    def end(self) -> None:
        """Wake all who poll, now and from now on: the mount is ending, and a read says so."""
        self._nursery = None
        for fh, watched in list(self._watched.items()):
            self.forget(fh)
            watched.notify()

    async def _watch(self, fh: int, handle: Handle, watched: _Watched) -> None:
        with watched.scope:
            try:
                await handle.until_readable()
            except Exception as error:  # whoever reads then is told
                _log.debug("a read that is polled for would fail: %s", error)
                watched.failed = True
            if watched.scope.cancel_called:
                return  # closed while this task was about to go on
            if not watched.failed:
                del self._watched[fh]
            watched.notify()
