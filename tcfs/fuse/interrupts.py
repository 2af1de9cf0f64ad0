"""Reads that wait for something to happen, and how a signal ends them.

pyfuse3 does not pass FUSE_INTERRUPT on, so a program whose read waits here cannot be stopped,
not by SIGKILL either, until it is answered. One task watches the signals of all who wait
(protocol.md, blocked reads).
"""

import errno
import logging
from typing import Final, final

import trio
from pyfuse3 import FUSEError

from tcfs.fuse import proc
from tcfs.fuse.handles import OpenFile, OpenFiles
from tcfs.project._apart import survived
from tcfs.project.errors import Busy
from tcfs.stores import Buffer

TICK: Final = 0.1  # seconds between looks at the signals
SCAN: Final = 0.5  # seconds, at least, between looks for others who hold a waiting file
SHARE: Final = 50  # a scan of all processes may take one part in so many of the time
CHUNK: Final = 40  # processes looked at before other tasks get their turn
MOST: Final = 512  # waiting reads: below the handlers of `mounting.MAX_TASKS`

_log = logging.getLogger("tcfs.fuse")


@final
class _Wait:
    __slots__ = ("answer", "file", "holders", "missed", "scope", "seen")

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        self.scope = trio.CancelScope()
        self.answer = errno.EINTR
        self.holders: set[int] = {file.opener.pid} if file.opener else set()
        self.seen = False  # somebody was seen to hold the file: then nobody means nobody
        self.missed = 0  # scans in a row that found no holder

    def end(self, answer: int) -> None:
        self.answer = answer
        self.scope.cancel()


@final
class Interrupts:
    """The waiting reads of a mount."""

    def __init__(self, files: OpenFiles) -> None:
        self._files = files
        self._waits: set[_Wait] = set()
        self._some = trio.Event()
        self._ended = False

    def __len__(self) -> int:
        return len(self._waits)

    async def read(self, file: OpenFile, offset: int, size: int) -> Buffer:
        """Read from a handle that waits; raises FUSEError EINTR when a reader got a signal.

        Raises:
            Busy: too many wait already.
        """
        if self._ended:
            raise FUSEError(errno.ENODEV)
        if len(self._waits) >= MOST:
            raise Busy(f"{MOST} reads wait in this mount already; let one go, then try again")
        wait = _Wait(file)
        self._waits.add(wait)
        self._some.set()
        try:
            with wait.scope:
                return await file.handle.read(offset, size)
        finally:
            self._waits.discard(wait)
        raise FUSEError(wait.answer)

    def end(self) -> None:
        """Answer every waiting read, and all to come: the mount is ending.

        ENODEV, for Python and bash take EINTR as a reason to read again.
        """
        self._ended = True
        for wait in self._waits:
            wait.end(errno.ENODEV)

    async def run(self) -> None:
        """Watch, until cancelled. Costs nothing while nobody waits."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            nursery.start_soon(self._look_around)

    async def _watch(self) -> None:
        while True:
            await self._somebody()
            await trio.sleep(TICK)
            await survived(self._end_interrupted)

    async def _end_interrupted(self) -> None:
        interrupted: dict[int, bool] = {}
        for number, wait in enumerate(tuple(self._waits), 1):
            for pid in wait.holders:
                if pid not in interrupted:
                    interrupted[pid] = proc.interrupted(pid)
                if interrupted[pid]:
                    wait.end(errno.EINTR)
                    break
            if not number % CHUNK:
                await trio.lowlevel.checkpoint()

    async def _look_around(self) -> None:
        # A child reads what its parent opened (`exec 8< f; cat <&8`), and may outlive it.
        pause = SCAN
        while True:
            await self._somebody()
            await trio.sleep(pause)
            began = trio.current_time()
            await survived(self._end_orphaned)
            pause = max(SCAN, SHARE * (trio.current_time() - began))

    async def _end_orphaned(self) -> None:
        waits = tuple(self._waits)
        holders = await self._holders(waits)
        for wait in waits:
            self._judge(wait, holders.get(wait.file.inode, set()))

    def _judge(self, wait: _Wait, holders: set[int]) -> None:
        if holders:
            wait.seen, wait.missed = True, 0
            wait.holders = holders
            return
        # Twice, for a file may pass from one process to another while we look.
        wait.missed += 1
        if wait.seen and wait.missed >= 2:
            wait.end(errno.EINTR)

    async def _holders(self, waits: tuple[_Wait, ...]) -> dict[int, set[int]]:
        places = [self._files.place(wait.file) for wait in waits]
        paths = {place.path: place.inode for place in places}
        inodes = frozenset(paths.values())
        names = frozenset(place.name for place in places)
        holders: dict[int, set[int]] = {}
        for number, pid in enumerate(proc.pids() if places else (), 1):
            for inode in proc.held(pid, paths, inodes, names):
                holders.setdefault(inode, set()).add(pid)
            if not number % CHUNK:
                await trio.lowlevel.checkpoint()
        return holders

    async def _somebody(self) -> None:
        if not self._waits:
            if self._some.is_set():
                self._some = trio.Event()
            await self._some.wait()
