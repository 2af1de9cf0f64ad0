"""`tcfs umount`."""

import os
import select
from pathlib import Path
from typing import Final

import click

from tcfs.cli import _mountpoint, _record
from tcfs.cli._failure import Exit, Failure
from tcfs.cli._places import state_home

PATIENCE: Final = 25.0  # seconds: a mount has 20 to store what was written, then ends


@click.command(epilog="Example: tcfs umount ~/fleet")
# Not `readable`: nothing of a dead mount is, and it is to be cleared away.
@click.argument("mountpoint", required=False, type=click.Path(readable=False, path_type=Path))
@click.option("--lazy", is_flag=True, help="Even if it is in use: it goes with its last user.")
def umount(mountpoint: Path | None, lazy: bool) -> None:
    """Unmount, and return when everything that was written is stored.

    MOUNTPOINT is /mnt/tracecraft or ~/tracecraft, whichever is mounted.
    """
    path = _usual() if mountpoint is None else _mountpoint.resolve(mountpoint)
    match _mountpoint.kind_of_mount(path):
        case _mountpoint.KIND:
            record = _record.look(path, state_home(os.environ))
            _mountpoint.unmount(path, lazy=lazy)
            if record is not None and not lazy:
                _await_end(record)
        case None:
            raise Failure(f"nothing is mounted at {path}; {_mounted()}")
        case kind:
            raise Failure(f"{path} is a mount of another kind ({kind}); use umount")


def _usual() -> Path:
    for path in _mountpoint.usual():
        if _mountpoint.kind_of_mount(path) == _mountpoint.KIND:
            return path
    raise Failure(f"nothing is mounted at the usual places; {_mounted()}")


def _mounted() -> str:
    paths = [str(path) for path, kind in _mountpoint.mounts() if kind == _mountpoint.KIND]
    return f"there is {', '.join(paths)}" if paths else "tcfs has nothing mounted here"


def _await_end(record: _record.Record) -> None:
    """Wait until the process that served the mount is gone, and all it had to store is stored."""
    try:
        process = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([process], [], [], PATIENCE)[0]:
            raise Failure(
                f"{record.mountpoint} is unmounted, but after {PATIENCE:.0f} s process"
                f" {record.pid} still stores what was written; see {record.log or 'its output'}",
                Exit.TIMED_OUT,
            )
    finally:
        os.close(process)
