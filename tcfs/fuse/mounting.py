"""From a root directory to a mount and back: start, signals, and an end that loses nothing."""

import logging
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import pyfuse3
import trio

from tcfs.fuse import stacks
from tcfs.fuse.identity import Identity
from tcfs.fuse.mountpoints import SUBTYPE, CannotMount, check_fuse, clear_stale, detach, resolved
from tcfs.fuse.operations import Operations
from tcfs.project import Metrics
from tcfs.stores import deadline
from tcfs.tree._base import Directory
from tcfs.tree.refusals import Refusals

MAX_TASKS: Final = 800  # requests at the same time; `interrupts.MOST` of them may wait
IDLE_TASKS: Final = 10  # kept for the next request: starting one costs more than many requests
ENDING: Final = 20.0  # seconds for all that is open to be stored: architecture.md
CLOSING: Final = 1.0  # seconds of those for programs to finish what they are closing

_log = logging.getLogger("tcfs.fuse")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to mount.

    `limit` is the deadline of a request in seconds. `allow_other`: other users may use the
    mount. `fsname` is what `mount` and `df` show. `auto_unmount`: let fusermount3, where it is
    installed, unmount when this process dies. `signals`: SIGTERM and SIGINT end the mount,
    SIGUSR1 logs all stacks; only the main thread can have them.
    """

    mountpoint: str
    limit: float = deadline.DEFAULT
    allow_other: bool = False
    read_only: bool = False
    fsname: str = "tcfs"
    auto_unmount: bool = True
    signals: bool = True
    debug: bool = False


async def serve(
    root: Directory,
    options: Options,
    *,
    identity: Identity,
    refusals: Refusals,
    metrics: Metrics,
    ready: Callable[[], None],
) -> None:
    """Mount `root` and answer until it is unmounted, or told to end by a signal or a cancel.

    `ready` is called once, when the mount answers. On return everything that was open has been
    stored and released, and nothing is mounted.

    Raises:
        CannotMount: it could not be mounted; the text says what to do.
    """
    check_fuse()
    mountpoint = await resolved(options.mountpoint)
    await clear_stale(mountpoint)
    operations = Operations(
        root,
        mountpoint,
        identity=identity,
        refusals=refusals,
        metrics=metrics,
        limit=options.limit,
    )
    try:
        pyfuse3.init(operations, mountpoint, _fuse_options(options))
    except RuntimeError as error:
        raise CannotMount(
            f"{mountpoint} could not be mounted ({error}); libfuse says why on stderr or in the log"
        ) from None
    mount = _Mount(operations, mountpoint)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(operations.interrupts.run)
            nursery.start_soon(operations.polls.run)
            nursery.start_soon(_announce, operations.answering, ready)
            if options.signals:
                await nursery.start(_obey_signals, mount)
            await mount.serve()
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(deadline=trio.current_time() + ENDING, shield=True):
            await mount.store_all()  # an unmount may drop the kernel's last RELEASEs
            pyfuse3.close(unmount=False)
            await _clear(mountpoint)


@final
class _Mount:
    def __init__(self, operations: Operations, mountpoint: str) -> None:
        self._operations = operations
        self._mountpoint = mountpoint
        self._answers = trio.CancelScope(shield=True)
        self._ending = False

    async def serve(self) -> None:
        """Answer requests until the mount has ended; a cancel ends it in order, first."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_cancelled, nursery.cancel_scope)
            # Shielded, or a cancel would take the answers away from those whom ending serves.
            with self._answers:
                await pyfuse3.main(min_tasks=IDLE_TASKS, max_tasks=MAX_TASKS)
            nursery.cancel_scope.cancel()

    async def end(self) -> None:
        """Detach, answer who waits, store what is open, and let `serve` return."""
        if self._ending:
            return
        self._ending = True
        operations = self._operations
        operations.ends = self._answers.deadline = trio.current_time() + ENDING
        operations.interrupts.end()
        operations.polls.end()
        with trio.CancelScope(deadline=operations.ends):
            # First, so that nothing new is opened; what is open goes on being served.
            try:
                await detach(self._mountpoint)
            except CannotMount as error:
                _log.warning("%s", error)
            with trio.move_on_after(CLOSING):
                await operations.files.none_left()
            await self.store_all()
        pyfuse3.terminate()

    async def store_all(self) -> None:
        """Store and release whatever is open."""
        operations = self._operations
        async with trio.open_nursery() as nursery:
            for fh in operations.files.unreleased():
                nursery.start_soon(operations.end_file, fh)

    async def _end_when_cancelled(self, scope: trio.CancelScope) -> None:
        try:
            await trio.sleep_forever()
        finally:
            if not scope.cancel_called:
                with trio.CancelScope(shield=True):
                    await self.end()


async def _clear(mountpoint: str) -> None:
    # A connection that was cut (/sys/fs/fuse/connections) leaves the mount point behind, dead.
    try:
        await clear_stale(mountpoint)
    except CannotMount as error:
        _log.warning("%s", error)


async def _announce(answering: trio.Event, ready: Callable[[], None]) -> None:
    await answering.wait()
    ready()


async def _obey_signals(
    mount: _Mount, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) as received:
        task_status.started()
        async for number in received:
            if number == signal.SIGUSR1:
                _log.warning("stacks of all tasks:\n%s", stacks.dump())
            else:
                _log.info("ending on %s", signal.Signals(number).name)
                await mount.end()


def _fuse_options(options: Options) -> set[str]:
    # `default_permissions` is left out: the tree decides, and says why. With it the kernel
    # would answer EACCES for a view, to all but root, where the tree says EROFS and what to do.
    chosen = {f"fsname={_plain(options.fsname)}", f"subtype={SUBTYPE}"}
    if options.allow_other:
        chosen.add("allow_other")
    if options.read_only:
        chosen.add("ro")
    if options.debug:
        chosen.add("debug")
    if options.auto_unmount and shutil.which("fusermount3"):
        chosen.add("auto_unmount")
    return chosen


def _plain(name: str) -> str:
    # A comma would begin another option, and libfuse takes ASCII.
    return "".join(char if char.isascii() and char.isprintable() else "_" for char in name).replace(
        ",", "_"
    )
