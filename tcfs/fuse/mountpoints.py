"""What stands in the way of a mount, and how it is cleared or mended."""

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Final, final

import trio

SUBTYPE: Final = "tcfs"
KIND: Final = f"fuse.{SUBTYPE}"  # as /proc/mounts has it
PATIENCE: Final = 5.0  # seconds for a question to whoever serves a mount point already


@final
class CannotMount(Exception):
    """The mount cannot be made; the text says why, and how to mend it."""


async def clear_stale(mountpoint: str) -> None:
    """Unmount a tcfs mount whose process died; raises CannotMount for what is no free directory.

    A dead mount answers ENOTCONN to everything until somebody unmounts it.
    """
    trouble = await _trouble(mountpoint)
    kind = kind_of(mountpoint)
    if trouble == errno.ENOTCONN:
        if kind != KIND:
            raise CannotMount(
                f"{mountpoint} is a dead {kind or 'unknown'} mount, not one of tcfs's; "
                f"unmount it first: fusermount3 -uz {mountpoint}"
            )
        await detach(mountpoint)
        trouble = await _trouble(mountpoint)
        kind = kind_of(mountpoint)
    if kind == KIND:
        raise CannotMount(
            f"{mountpoint} is a tcfs mount already; unmount it first: umount {mountpoint}"
        )
    if trouble:
        raise CannotMount(f"{mountpoint} cannot be mounted on: {os.strerror(trouble)}")


async def resolved(path: str) -> str:
    """Return a path without symbolic links, as /proc/PID/fd shows it.

    Raises:
        CannotMount: whoever serves it already does not answer.
    """
    with trio.move_on_after(PATIENCE):
        return await trio.to_thread.run_sync(os.path.realpath, path, abandon_on_cancel=True)
    raise CannotMount(f"{path} does not answer; unmount it first: umount -l {path}")


def kind_of(mountpoint: str) -> str:
    """Return the type of the file system mounted last on exactly this path, empty if none is."""
    kind = ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # proc(5): the mount point is field 5, the type follows a lone hyphen.
        fields, _, rest = line.partition(" - ")
        if _unescaped(fields.split(" ")[4]) == mountpoint:
            kind = rest.split(" ")[0]
    return kind


async def detach(mountpoint: str) -> None:
    """Take a mount out of the tree of names; what is open in it goes on until it is closed.

    Raises:
        CannotMount: neither fusermount3 nor umount would do it.
    """
    said = "there is neither fusermount3 nor umount"
    for command in (["fusermount3", "-u", "-z", "--"], ["umount", "-l", "--"]):
        if shutil.which(command[0]) is None:
            continue
        done = await trio.run_process(
            [*command, mountpoint], check=False, capture_stdout=True, capture_stderr=True
        )
        if done.returncode == 0:
            return
        said = done.stderr.decode(errors="replace").strip() or said
    raise CannotMount(f"{mountpoint} cannot be unmounted: {said}")


def check_fuse() -> None:
    """Raise CannotMount, with how to mend it, where this user cannot mount by FUSE.

    libfuse says no more than "fuse: failed to open /dev/fuse".
    """
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except FileNotFoundError:
        raise CannotMount(
            "there is no /dev/fuse; load the kernel module (sudo modprobe fuse), or start the "
            "container with --device /dev/fuse --cap-add SYS_ADMIN"
        ) from None
    except PermissionError:
        raise CannotMount(
            "/dev/fuse is not open to this user; sudo chmod 666 /dev/fuse is what udev does on "
            "a desktop or server, minimal images do not. In a container, --device /dev/fuse is "
            "needed too"
        ) from None
    except OSError as error:
        raise CannotMount(f"/dev/fuse cannot be opened: {error.strerror}") from None
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        raise CannotMount(
            "an ordinary user mounts by fusermount3, which is not installed; it comes with "
            "the package fuse3 (sudo apt install fuse3, sudo dnf install fuse3)"
        )


async def _trouble(mountpoint: str) -> int:
    """Return the errno that stands in the way of mounting on this directory, 0 for none."""

    def look() -> int:
        try:
            # Attributes may come from the kernel's cache, from the days when the mount lived.
            os.statvfs(mountpoint)
            mode = Path(mountpoint).stat().st_mode
        except OSError as error:
            return error.errno or errno.EIO
        return 0 if stat.S_ISDIR(mode) else errno.ENOTDIR

    with trio.move_on_after(PATIENCE):
        return await trio.to_thread.run_sync(look, abandon_on_cancel=True)
    return errno.ETIMEDOUT


def _unescaped(path: str) -> str:
    for code, char in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        path = path.replace(code, char)
    return path
