"""From settings to an open project: what a command does once it knows what to work on.

The one module of the command line that imports the rooms below; commands import it late.
"""

import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import trio

import tcfs
from tcfs import board
from tcfs.cli._failure import Failure
from tcfs.cli._fstab import Wish
from tcfs.cli._places import state_home
from tcfs.cli.config import Bucket, Local, Settings
from tcfs.fuse import CannotMount, Identity, Options
from tcfs.fuse import serve as serve_mount
from tcfs.fuse.mountpoints import check_fuse
from tcfs.project import Project
from tcfs.stores import AlreadyExists, Denied, Store
from tcfs.stores.deadline import within
from tcfs.stores.file import FileStore
from tcfs.stores.s3 import S3Store
from tcfs.tree import Caller, MountInfo, Refusals, root
from tcfs.wire import keys
from tcfs.wire.documents import Agent
from tcfs.wire.times import iso

DEADLINE: Final = 30.0  # seconds for a command that is not a mount


def serve(settings: Settings, path: Path, wish: Wish, ready: Callable[[], None]) -> None:
    """Mount, call `ready` once it answers, and return when it is unmounted."""
    trio.run(_serve, settings, path, wish, ready)


def overview(settings: Settings, *, as_json: bool) -> str:
    """Return what `tcfs status` prints."""
    return trio.run(_overview, settings, as_json)


def set_up(settings: Settings) -> None:
    """Make the bucket where it may be made, and the agent known."""
    trio.run(_set_up, settings)


async def _serve(settings: Settings, path: Path, wish: Wish, ready: Callable[[], None]) -> None:
    caller = Caller(settings.agent, settings.agent_how)
    identity = Identity(caller, shared=wish.allow_other)
    refusals = Refusals()
    options = Options(
        mountpoint=str(path),
        limit=wish.deadline,
        allow_other=wish.allow_other,
        read_only=wish.read_only,
        fsname=settings.store.url,
    )
    info = MountInfo(
        mountpoint=str(path),
        version=tcfs.__version__,
        config="".join(f"{line}\n" for line in settings.describe()),
        explain=identity.explain,
    )
    with _told():
        check_fuse()  # before the store hears of an agent that is not coming
    async with _project(settings, wish.deadline) as project:
        if isinstance(project.store, S3Store):
            # Costs 0.3 s of imports, which the first conditional delete would pay for.
            project.later(project.store.prepare)
        if not wish.read_only:
            with within(wish.deadline):
                await project.present()
        tree = root(project, info, refusals)
        with _told():
            await serve_mount(tree, options, identity=identity, refusals=refusals, ready=ready)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except CannotMount as error:
        raise Failure(str(error)) from error


async def _overview(settings: Settings, as_json: bool) -> str:
    with within(DEADLINE):
        async with _project(settings) as project:
            snapshot = await board.snapshot(project)
    return board.to_json(snapshot).decode() if as_json else board.render(snapshot)


async def _set_up(settings: Settings) -> None:
    with within(DEADLINE):
        await _make_bucket(settings.store)
        store = _store(settings.store)
        try:
            await _introduce(store, settings)
        finally:
            await store.aclose()


async def _introduce(store: Store, settings: Settings) -> None:
    # Not through a project: closing one signs off what it registered, and this one is to stay.
    now = iso(time.time_ns())
    agent = Agent(
        id=settings.agent,
        status="active",
        started_at=now,
        heartbeat=now,
        summary="Initialized",
        host=socket.gethostname(),
        tcfs=tcfs.__version__,
    )
    with contextlib.suppress(AlreadyExists):  # whoever wrote that knows more of it
        await store.put(keys.agent(settings.agent), agent.encode(), if_absent=True)


async def _make_bucket(place: Local | Bucket) -> None:
    if isinstance(place, Local):
        return  # the store makes its directory with its first object
    try:
        await _bucket(place).ensure_bucket()
    except Denied:  # no such bucket, or not ours: making it tells which
        await _bucket(place, create=True).ensure_bucket()


@contextlib.asynccontextmanager
async def _project(settings: Settings, deadline: float = DEADLINE) -> AsyncIterator[Project]:
    store = _store(settings.store, deadline)
    host, state = socket.gethostname(), state_home(os.environ)
    async with Project.open(store, agent=settings.agent, host=host, state=state) as project:
        yield project


def _store(place: Local | Bucket, deadline: float = DEADLINE) -> Store:
    if isinstance(place, Local):
        return FileStore(place.directory)
    return _bucket(place, deadline=deadline)


def _bucket(place: Bucket, *, create: bool = False, deadline: float = DEADLINE) -> S3Store:
    try:
        return S3Store(
            place.bucket,
            place.project,
            endpoint=place.endpoint,
            region=place.region,
            access_key=place.access_key,
            secret_key=place.secret_key,
            profile=place.profile,
            create_bucket=create,
            # A request that is still on its way must end before the operation does.
            request_timeout=deadline / 3,
        )
    except ValueError as error:
        raise Failure(f"{place.url}: {error}; correct it in the configuration") from error
