"""How programs save a file: their system calls, in their order, so that none need be installed.

Recorded with `strace -e trace=file,desc` on a mount: sed 4.9, vim 9.0 (`-u NONE`, with and without
`backup`), nano 7.2 (`-B -G`), emacs 28.2 (`-Q`), rsync 3.5.0 (`-a`). From the programs' sources:
GLib 2.74 (`g_file_replace`, which gedit saves by), VS Code (`fs.write` of its disk provider),
LibreOffice (`SvxLockFile`), Thunar 4.18 (copies by way of `NAME.partial~`), and emacs where it
renames for a backup (`backup-buffer`, which it does not do below /tmp).
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

Save = Callable[[Path, bytes], None]

_NEW: Final = os.O_CREAT | os.O_EXCL
_REPLACE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def _make(path: Path, flags: int, content: bytes = b"", mode: int = 0o600) -> None:
    descriptor = os.open(path, flags, mode)
    if content:
        os.write(descriptor, content)
    os.close(descriptor)


def sed(path: Path, content: bytes) -> None:
    """`sed -i`: a new file beside it, renamed."""
    beside = path.with_name("sedPws8P4")
    descriptor = os.open(beside, os.O_RDWR | _NEW, 0o600)
    os.fchmod(descriptor, 0o644)
    os.write(descriptor, content)
    os.close(descriptor)
    beside.rename(path)


def vim(path: Path, content: bytes, *, backup: bool = False) -> None:
    """vim's defaults: a swap file, and while it writes a backup made by renaming."""
    swap, other = (path.with_name(f".{path.name}{end}") for end in (".swp", ".swpx"))
    old = path.with_name(f"{path.name}~")
    _make(swap, os.O_RDWR | _NEW)
    _make(other, os.O_RDWR | _NEW)
    os.unlink(other)  # noqa: PTH108 - system calls, as they were
    os.unlink(swap)  # noqa: PTH108
    descriptor = os.open(swap, os.O_RDWR | _NEW | os.O_NOFOLLOW, 0o600)
    os.write(descriptor, b"b0VIM 9.0".ljust(4096, b"\0"))
    swap.chmod(0o644)
    existing = path.exists()
    if existing:
        probe = path.with_name("4913")
        number = os.open(probe, os.O_WRONLY | _NEW | os.O_NOFOLLOW, 0o100644)
        os.fchown(number, os.getuid(), os.getgid())
        os.stat(probe)  # noqa: PTH116
        os.close(number)
        probe.unlink()
        with suppress(FileNotFoundError):
            old.unlink()
        path.rename(old)
    number = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.ftruncate(number, 0)
    os.write(number, content)
    os.fsync(number)
    os.stat(path)  # noqa: PTH116
    if existing:
        os.fchmod(number, 0o100644)
    os.close(number)
    os.pwrite(descriptor, b"b0VIM 9.0".ljust(4096, b"\0"), 4096)
    if existing and not backup:
        old.unlink()
    os.close(descriptor)
    swap.unlink()


def vim_with_backup(path: Path, content: bytes) -> None:
    """`set backup`: the backup stays."""
    vim(path, content, backup=True)


def nano(path: Path, content: bytes) -> None:
    """nano, which locks (`-G`): a swap file in vim's form, and writing in place."""
    lock = path.with_name(f".{path.name}.swp")
    with suppress(FileNotFoundError):
        lock.unlink()
    _make(lock, os.O_WRONLY | _NEW, b"b0nano 7.2".ljust(1024, b"\0"), 0o666)
    descriptor = os.open(path, _REPLACE, 0o666)
    os.write(descriptor, content)
    os.fsync(descriptor)
    os.close(descriptor)
    os.stat(path)  # noqa: PTH116
    lock.unlink()


def emacs(path: Path, content: bytes) -> None:
    """emacs: a lock, an auto-save file, and writing in place.

    The lock is a symbolic link, or where there are none a file, made under another name.
    """
    lock, auto = path.with_name(f".#{path.name}"), path.with_name(f"#{path.name}#")
    owner = "someone@host.1234:1700000000"
    try:
        lock.symlink_to(owner)
    except PermissionError:
        beside = path.with_name(".#-emacsMEuw2T")
        descriptor = os.open(beside, os.O_RDWR | _NEW | os.O_CLOEXEC, 0o600)
        os.write(descriptor, owner.encode())
        os.fchmod(descriptor, 0o644)
        os.close(descriptor)
        beside.rename(lock)
    _make(auto, _REPLACE | os.O_CLOEXEC, content, 0o644)
    assert (os.readlink(lock) if lock.is_symlink() else lock.read_text()) == owner  # noqa: PTH115
    descriptor = os.open(path, _REPLACE | os.O_CLOEXEC, 0o666)
    os.write(descriptor, content[:1])
    os.write(descriptor, content[1:])
    os.fsync(descriptor)
    os.close(descriptor)
    os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    lock.unlink()
    auto.unlink()


def emacs_with_backup(path: Path, content: bytes) -> None:
    """emacs, where it backs up: the file is renamed first."""
    if path.exists():
        path.rename(path.with_name(f"{path.name}~"))
    emacs(path, content)


def rsync(path: Path, content: bytes) -> None:
    """`rsync -a` of one file: a new file beside it, with the times of the source, renamed."""
    beside = path.with_name(f".{path.name}.cQgm1P")
    descriptor = os.open(beside, os.O_RDWR | _NEW | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    os.write(descriptor, content)
    os.close(descriptor)
    os.lstat(beside)
    os.utime(beside, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
    beside.chmod(0o644)
    beside.rename(path)


def gedit(path: Path, content: bytes) -> None:
    """GLib's g_file_replace: a new file beside it, renamed before it is closed."""
    if path.exists():
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        os.fstat(descriptor)
        os.close(descriptor)
    beside = path.with_name(".goutputstream-3QX1Z2")
    descriptor = os.open(beside, os.O_RDWR | _NEW | os.O_CLOEXEC, 0o666)
    os.fchown(descriptor, os.getuid(), os.getgid())
    os.fchmod(descriptor, 0o644)
    os.write(descriptor, content)
    os.fsync(descriptor)
    beside.rename(path)
    os.close(descriptor)


def vscode(path: Path, content: bytes) -> None:
    """VS Code: writing in place, and flushing."""
    descriptor = os.open(path, _REPLACE | os.O_CLOEXEC, 0o666)
    os.write(descriptor, content)
    os.fdatasync(descriptor)
    os.close(descriptor)
    os.stat(path)  # noqa: PTH116


def libreoffice(path: Path, content: bytes) -> None:
    """LibreOffice: a lock file, which it does without where it cannot be; writing in place."""
    lock = path.with_name(f".~lock.{path.name}#")
    with suppress(OSError):
        _make(lock, os.O_RDWR | _NEW)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, content)
    os.close(descriptor)
    with suppress(OSError):
        lock.unlink()


def thunar(path: Path, content: bytes) -> None:
    """A file manager's copy: under another name until it is whole."""
    beside = path.with_name(f"{path.name}.partial~")
    descriptor = os.open(beside, os.O_WRONLY | _NEW | os.O_CLOEXEC, 0o644)
    os.write(descriptor, content)
    os.fchmod(descriptor, 0o644)
    os.close(descriptor)
    os.utime(beside, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
    beside.rename(path)


EDITORS: Final[dict[str, Save]] = {
    it.__name__: it
    for it in (
        sed, vim, vim_with_backup, nano, emacs, emacs_with_backup, rsync, gedit, vscode,
        libreoffice, thunar,
    )
}  # fmt: skip
