"""How programs save a file: their system calls, in their order, so that none need be installed.

Each was recorded with `strace -f -e trace=file,desc` on Debian 12, in an ordinary directory and on
a mount; its docstring says which version. `stat` and the like are left out but where the program
remembers the answer: it asks again before the next save, and takes any other time for a change by
somebody else.
"""

import ctypes
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_EMPTY_PATH: Final = 0x1000  # AT_EMPTY_PATH
_MTIME: Final = 0x40  # STATX_MTIME

Save = Callable[[Path, bytes], None]

_NEW: Final = os.O_CREAT | os.O_EXCL
_REPLACE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def _make(path: Path, flags: int, content: bytes = b"", mode: int = 0o600) -> None:
    descriptor = os.open(path, flags, mode)
    if content:
        os.write(descriptor, content)
    os.close(descriptor)


def sed(path: Path, content: bytes) -> None:
    """sed 4.9, `-i`: a new file beside it, renamed."""
    beside = path.with_name("sedPws8P4")
    descriptor = os.open(beside, os.O_RDWR | _NEW, 0o600)
    os.fchmod(descriptor, 0o644)
    os.write(descriptor, content)
    os.close(descriptor)
    beside.rename(path)


def vim(path: Path, content: bytes, *, backup: bool = False) -> None:
    """vim 9.0, `-u NONE`: a swap file, and while it writes a backup made by renaming."""
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
    """vim 9.0, `set backup`: the backup stays."""
    vim(path, content, backup=True)


def nano(path: Path, content: bytes) -> None:
    """nano 7.2, `-B -G`: a swap file in vim's form, and writing in place."""
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
    """emacs 28.2, `-Q`: a lock, an auto-save file, and writing in place.

    It closes and opens again to see which time the file has in the end. The lock is a symbolic
    link, or where there are none a file, made under another name.
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
    """emacs 28.2, where it backs up (not below /tmp): the file is renamed first, and what comes
    in its place is given the mode and the access list of the backup."""
    existing = path.exists()
    if existing:
        path.rename(path.with_name(f"{path.name}~"))
    emacs(path, content)
    if existing:
        path.chmod(0o644)
        access = b"\2\0\0\0\1\0\6\0\xff\xff\xff\xff\4\0\4\0\xff\xff\xff\xff \0\4\0\xff\xff\xff\xff"
        with suppress(OSError):  # it asks for the mode only, where there are no lists
            os.setxattr(path, "system.posix_acl_access", access)


def rsync(path: Path, content: bytes) -> None:
    """rsync 3.5.0, `-a`: a new file beside it, with the times of the source, renamed."""
    beside = path.with_name(f".{path.name}.cQgm1P")
    descriptor = os.open(beside, os.O_RDWR | _NEW | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    os.write(descriptor, content)
    os.close(descriptor)
    os.lstat(beside)
    os.utime(beside, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
    beside.chmod(0o644)
    beside.rename(path)


def gedit(path: Path, content: bytes, *, backup: bool = False) -> None:
    """gedit 44.2 and Mousepad 0.5.10, by GLib 2.74 (`g_file_replace`).

    A new file is written under its own name; what is there is opened to be written, and replaced
    by a file beside it that is renamed before it is closed. Both remember the time that `fstat`
    shows in the end.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | _NEW | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        _replace(path, content, 0o666, backup=backup)
    else:
        os.write(descriptor, content)
        os.close(descriptor)


def gio_with_backup(path: Path, content: bytes) -> None:
    """GLib 2.74, `gio save --backup`, and gedit where it is told to: what was there becomes the
    backup, by a hard link if there are such, else by renaming."""
    gedit(path, content, backup=True)


def _replace(path: Path, content: bytes, mode: int, *, backup: bool = False) -> None:
    there = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, mode)
    os.fstat(there)
    beside = path.with_name(".goutputstream-3QX1Z2")
    descriptor = os.open(beside, os.O_WRONLY | _NEW, mode)
    os.fchown(descriptor, os.getuid(), os.getgid())
    os.fchmod(descriptor, 0o644)
    os.close(there)
    os.write(descriptor, content)
    os.fsync(descriptor)
    if backup:
        old = path.with_name(f"{path.name}~")
        with suppress(FileNotFoundError):
            old.unlink()
        try:
            old.hardlink_to(path)
        except PermissionError:
            path.rename(old)
    os.stat(beside)  # noqa: PTH116 - a thread that watches the directory
    beside.rename(path)
    remembered = _modified(descriptor)
    os.close(descriptor)
    assert path.stat().st_mtime_ns == remembered, "this would be a change by somebody else"


def _modified(descriptor: int) -> int:
    # GLib asks for this time alone, which the kernel may then have in store; `fstat` asks for all.
    answer = ctypes.create_string_buffer(256)
    asked = _LIBC.statx(descriptor, b"", _EMPTY_PATH, _MTIME, answer)
    assert asked == 0, os.strerror(ctypes.get_errno())
    seconds, nanoseconds = struct.unpack_from("=qI", answer, 112)
    return int(seconds * 1_000_000_000 + nanoseconds)


def vscode(path: Path, content: bytes) -> None:
    """VS Code's disk provider, as a script in Node 20.20: in place, flushed."""
    descriptor = os.open(path, _REPLACE | os.O_CLOEXEC, 0o666)
    os.write(descriptor, content)
    os.fdatasync(descriptor)
    os.close(descriptor)
    os.stat(path)  # noqa: PTH116


def libreoffice(path: Path, content: bytes) -> None:
    """LibreOffice 7.4.7: a lock file, and a new file beside it that is made, opened again, and
    written. An old file is replaced by it; a new one is made, and given what it holds.
    """
    lock, beside = path.with_name(f".~lock.{path.name}#"), path.with_name("lu250227l2tx.tmp")
    # Where it cannot be made, what is there is not opened at all.
    _make(lock, os.O_RDWR | _NEW, b",me,host,22.11.2026 17:14,file:///home/me;", 0o666)
    _make(beside, os.O_RDWR | _NEW)
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o666)
    os.pwrite(descriptor, content, 0)
    os.close(descriptor)
    try:
        descriptor = os.open(path, os.O_RDWR | _NEW, 0o666)
    except FileExistsError:
        beside.rename(path)
        os.chown(path, -1, os.getgid())
        path.chmod(0o644)
    else:
        os.pwrite(descriptor, content, 0)
        os.close(descriptor)
        beside.unlink()
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)
    with suppress(OSError):
        lock.unlink()


def thunar(path: Path, content: bytes) -> None:
    """Thunar 4.18.4: a copy into the directory, by way of a pipe, given the times of the source.

    What is there is replaced as GLib does it, when the user has said so.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | _NEW, 0o644)
    except FileExistsError:
        _replace(path, content, 0o644)
    else:
        _spliced(descriptor, content)
        os.close(descriptor)
    os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))


def pcmanfm(path: Path, content: bytes) -> None:
    """PCManFM 1.3.2: as Thunar, and the owner of the source is given before its times."""
    try:
        descriptor = os.open(path, os.O_WRONLY | _NEW, 0o644)
    except FileExistsError:
        _replace(path, content, 0o644)
    else:
        _spliced(descriptor, content)
        os.close(descriptor)
        os.chown(path, os.getuid(), os.getgid(), follow_symlinks=False)
    os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))


def thunar_partial(path: Path, content: bytes) -> None:
    """Thunar 4.18, where it is told to copy so: under another name until it is whole.

    Not recorded, but from its source.
    """
    beside = path.with_name(f"{path.name}.partial~")
    descriptor = os.open(beside, os.O_WRONLY | _NEW | os.O_CLOEXEC, 0o644)
    os.write(descriptor, content)
    os.fchmod(descriptor, 0o644)
    os.close(descriptor)
    os.utime(beside, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
    beside.rename(path)


def _spliced(descriptor: int, content: bytes) -> None:
    out, into = os.pipe()
    os.write(into, content)
    os.close(into)
    while os.splice(out, descriptor, len(content)):
        pass
    os.close(out)


EDITORS: Final[dict[str, Save]] = {
    it.__name__: it
    for it in (
        sed, vim, vim_with_backup, nano, emacs, emacs_with_backup, rsync, gedit, vscode,
        gio_with_backup, libreoffice, thunar, pcmanfm, thunar_partial,
    )
}  # fmt: skip
