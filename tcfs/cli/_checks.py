"""What `tcfs doctor` looks at, one thing after the other."""

import errno
import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, final

import trio

from tcfs.cli._mountpoint import KIND, mounts
from tcfs.cli._places import cache_home, state_home
from tcfs.cli._probe_cache import path_of
from tcfs.cli._probed import REACH, keep
from tcfs.cli._stores import PLAINTEXT, bucket_of
from tcfs.cli.config import Bucket, Settings
from tcfs.stores import Denied, NotFound, ReadOnly, StoreError, Unavailable, boottime
from tcfs.stores.deadline import within
from tcfs.stores.probe import PREFIX, Findings, probe
from tcfs.stores.s3 import S3Store

DEADLINE: Final = 30.0  # seconds for the store
SKEW: Final = 60.0  # seconds that the clocks may be apart; services refuse from 15 minutes on
SECOND: Final = 1_000_000_000  # nanoseconds
MOUNT: Final = 2.0  # seconds for a mount to answer


@final
@dataclass(frozen=True, slots=True)
class Check:
    """One thing: well, or with `text` saying what to do."""

    name: str
    ok: bool
    text: str


async def checks(settings: Settings) -> AsyncIterator[Check]:
    """Yield what is looked at, as soon as it is known."""
    yield _fuse()
    yield _fusermount()
    yield Check("configuration", True, f"{settings.store.url} ({settings.store_how})")
    yield Check("agent", True, f"{settings.agent} ({settings.agent_how})")
    async for check in _store(settings):
        yield check
    yield _private("state directory", state_home(os.environ))
    yield _private("cache directory", cache_home(os.environ))
    async for check in _mounts():
        yield check


def _fuse() -> Check:
    try:
        from tcfs.fuse.mountpoints import CannotMount, check_fuse
    except ImportError as error:
        return Check("pyfuse3", False, f"{error}; pip install pyfuse3 (all but tcfs mount works)")
    try:
        check_fuse()
    except CannotMount as error:
        return Check("/dev/fuse", False, str(error))
    return Check("/dev/fuse", True, "open to this user")


def _fusermount() -> Check:
    found = shutil.which("fusermount3")
    if found is not None:
        return Check("fusermount3", True, found)
    if os.geteuid() == 0:
        return Check("fusermount3", True, "not there, and not needed by root")
    return Check("fusermount3", False, "not there; install the package fuse3")


async def _store(settings: Settings) -> AsyncIterator[Check]:
    if not isinstance(settings.store, Bucket):
        yield Check("credentials", True, settings.credentials_how)
        directory = settings.store.directory
        if _writable(directory):
            yield Check("store", True, "a directory of this host; not shared between hosts")
        else:
            yield Check("store", False, f"{directory} cannot be written; see its permissions")
        return
    store = bucket_of(settings.store, DEADLINE)
    try:
        with within(DEADLINE):
            async for check in _bucket(store, settings.credentials_how):
                yield check
    finally:
        with trio.CancelScope(shield=True):
            await store.aclose()


async def _bucket(store: S3Store, how: str) -> AsyncIterator[Check]:
    try:
        yield Check("credentials", True, f"{how}: {await store.credentials()}")
    except StoreError as error:
        yield Check("credentials", False, str(error))
        return
    try:
        with within(REACH):
            await store.any_under("")
    except Unavailable as error:
        yield Check("store", False, str(error))
        return
    except StoreError as error:
        yield Check("store", True, f"{store.service.partition(' ')[0]} answers")
        yield Check("bucket", False, str(error))
        return
    yield Check("store", True, f"{store.service.partition(' ')[0]} answers")
    if store.plaintext:
        yield Check("encryption", True, f"none to {store.plaintext}; {PLAINTEXT}")
    yield Check("bucket", True, "there, and can be listed")
    yield await _reading(store)
    yield await _clock(store)
    for check in await _probe(store):
        yield check


async def _reading(store: S3Store) -> Check:
    try:
        await store.get(f"{PREFIX}nothing")
    except NotFound:
        return Check("reading", True, "allowed")
    except StoreError as error:
        return Check("reading", False, str(error))
    return Check("reading", True, "allowed")


async def _clock(store: S3Store) -> Check:
    try:
        offset = await store.clock()
    except StoreError as error:
        return Check("clock", False, str(error))
    if offset is None:
        return Check("clock", True, "the store does not tell its time")
    ours = time.time_ns() - boottime()
    apart = ((offset.low + offset.high) // 2 - ours) / SECOND
    doubt = (offset.high - offset.low) / 2 / SECOND
    if abs(apart) - doubt > SKEW:
        return Check("clock", False, f"{-apart:+.0f} s off the store's; set this host's clock")
    return Check("clock", True, f"within {abs(apart) + doubt:.1f} s of the store's")


async def _probe(store: S3Store) -> list[Check]:
    try:
        findings = await probe(store)
    except (Denied, ReadOnly) as error:
        return [Check("writing", False, f"{error}; without, a mount only reads")]
    except StoreError as error:
        return [Check("writing", False, str(error))]
    await trio.to_thread.run_sync(keep, path_of(store.service, os.environ), findings)
    return [Check("writing", True, "allowed"), *_findings(findings)]


def _findings(found: Findings) -> Iterator[Check]:
    refused = "claims, locks and appends are refused; tcfs mount --claims=best-effort has them all"
    for name, finding, otherwise in (
        ("create if absent", found.create, f"{refused} the same, unsafely"),
        ("replace if unchanged", found.replace, f"{refused} the same, unsafely"),
        ("delete if unchanged", found.delete, None),
        ("list after put", found.listing, "wait longer for others' changes"),
        ("list from a key on", found.order, "read mail from another store"),
    ):
        if finding.held:
            yield Check(name, True, finding.text)
        elif otherwise is None:
            yield Check(name, True, f"no ({finding.text}); claims given back stay as tombstones")
        else:
            yield Check(name, False, f"{finding.text}; {otherwise}")


def _private(name: str, path: Path) -> Check:
    if not _writable(path):
        return Check(name, False, f"{path} cannot be written; see its permissions")
    try:
        found = path.stat()
    except FileNotFoundError:
        return Check(name, True, f"{path}, made when it is needed")
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        return Check(name, False, f"{path} is open to others; run: chmod 700 {path}")
    return Check(name, True, f"{path}, private")


def _writable(path: Path) -> bool:
    there = next(it for it in (path, *path.parents) if it.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


async def _mounts() -> AsyncIterator[Check]:
    ours = [path for path, kind in mounts() if kind == KIND]
    alive = 0
    for path in ours:
        trouble = errno.ETIMEDOUT
        with trio.move_on_after(MOUNT):
            trouble = await trio.to_thread.run_sync(partial(_trouble, path), abandon_on_cancel=True)
        if trouble in (errno.ENOTCONN, errno.ETIMEDOUT):
            how = "is dead" if trouble == errno.ENOTCONN else "does not answer"
            yield Check("mount", False, f"{path} {how}; run: tcfs umount --lazy {path}")
        else:
            alive += 1
    if alive == len(ours):
        yield Check("mounts", True, f"{alive} of tcfs, none of them dead")


def _trouble(path: Path) -> int:
    try:
        os.statvfs(path)  # the kernel keeps no answer to this one
    except OSError as error:
        return error.errno or errno.EIO
    return 0
