"""Where a mount goes: choosing the directory, and what the kernel says is there already."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tcfs.cli._failure import Failure

KIND: Final = "fuse.tcfs"  # the mount option subtype=tcfs makes it so
USUAL: Final = Path("/mnt/tracecraft")
_MOUNTS: Final = Path("/proc/self/mountinfo")
_FUSE_CONF: Final = Path("/etc/fuse.conf")


@final
@dataclass(frozen=True, slots=True)
class Place:
    """A directory to mount on. `made`: by us, so it is to go with the mount."""

    path: Path
    made: bool


def resolve(path: Path) -> Path:
    """Return `path` absolute and without links, as the kernel lists mounts."""
    return Path(os.path.realpath(path))


def usual() -> tuple[Path, Path]:
    """Return where a mount goes that was given no place, best first."""
    return USUAL, Path.home() / "tracecraft"


def choose() -> Path:
    """Return the first usual place where a directory of ours is, or can be made."""
    first, second = usual()
    there = first if first.exists() else first.parent
    return first if os.access(there, os.W_OK | os.X_OK) else second


def prepare(path: Path) -> Place:
    """Make `path` fit to be mounted on: an empty directory.

    A mount of ours on it is left to whoever mounts: a dead one is cleared then, another refused.

    Raises:
        Failure: it cannot be.
    """
    if kind_of_mount(path) == KIND:
        return Place(path, made=False)
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return Place(_checked(path), made=False)
    except OSError as error:
        raise Failure(f"{path} cannot be made: {error.strerror}; name another place") from error
    return Place(path, made=True)


def check_others_allowed() -> None:
    """See that an ordinary user may let others into a mount.

    Raises:
        Failure: the system's administrator has not said so; libfuse would tell only the log.
    """
    if os.geteuid() != 0 and not _allows_other():
        raise Failure(
            f"--allow-other needs the line user_allow_other in {_FUSE_CONF};"
            " as root, add it, or mount without"
        )


def unmount(path: Path, *, lazy: bool) -> None:
    """Take a mount away; `lazy`: from the tree at once, for good when its last user has gone.

    Raises:
        Failure: the system refuses.
    """
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), str(path)]
    if shutil.which(command[0]) is None:
        command = ["umount", *(["-l"] if lazy else []), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return
    if users := list(_users(path)):
        names = ", ".join(users[:3]) + (", …" if len(users) > 3 else "")
        raise Failure(f"{path} is in use by {names}; leave it there, or use --lazy")
    text = done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"]
    raise Failure(f"{path} was not unmounted: {text[-1]}; mend that, or as root run: umount {path}")


def kind_of_mount(path: Path) -> str | None:
    """Return the file system type of the mount at `path` itself; None where none is."""
    kinds = [kind for mounted, kind in mounts() if mounted == path]
    return kinds[-1] if kinds else None


def mounts() -> Iterator[tuple[Path, str]]:
    """Yield every mount point that this process sees, with its file system type."""
    # proc_pid_mountinfo(5): … (5) mount point … " - " (9) type …
    for line in os.fsencode(_MOUNTS.read_text(errors="surrogateescape")).splitlines():
        front, _, back = line.partition(b" - ")
        point = front.split(b" ")[4].decode("unicode_escape").encode("latin-1")
        yield Path(os.fsdecode(point)), os.fsdecode(back.split(b" ")[0])


def _checked(path: Path) -> Path:
    try:
        with os.scandir(path) as names:
            if next(names, None) is not None:
                raise Failure(f"{path} is not empty; name an empty directory, or a new one")
    except NotADirectoryError:
        raise Failure(f"{path} is not a directory; name another place") from None
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}; name another place") from error
    return path


def _allows_other() -> bool:
    try:
        lines = _FUSE_CONF.read_text().splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)


def _users(path: Path) -> Iterator[str]:
    # Only links are read, never what they point to: that could wait for the mount itself.
    for process in Path("/proc").glob("[0-9]*"):
        links = [process / "cwd", process / "root"]
        try:
            links += (process / "fd").iterdir()
            name = (process / "comm").read_text().strip()
        except OSError:  # it has ended, or is not ours to look into
            continue
        if any(_leads_into(link, path) for link in links):
            yield f"{name} (pid {process.name})"


def _leads_into(link: Path, path: Path) -> bool:
    try:
        return link.readlink().is_relative_to(path)
    except OSError:
        return False
