"""What `tcfs mount` does in the background: the one module of the command line for the kernel."""

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

import tcfs
from tcfs import board
from tcfs.cli._failure import Failure
from tcfs.cli._fstab import Wish
from tcfs.cli._places import state_home
from tcfs.cli._probe_cache import path_of
from tcfs.cli._probed import Trust, probed, reach
from tcfs.cli._stores import PLAINTEXT, store_of
from tcfs.cli.config import Settings
from tcfs.fuse import CannotMount, Identity, Options
from tcfs.fuse import serve as serve_mount
from tcfs.fuse.mountpoints import check_fuse
from tcfs.project import Project
from tcfs.stores import Denied, ReadOnly, Store, Unavailable, Unsupported
from tcfs.stores.deadline import within
from tcfs.stores.readonly import Reading
from tcfs.stores.s3 import S3Store
from tcfs.tree import Caller, MountInfo, Refusals, root
from tcfs.wire.text import on_one_line

if TYPE_CHECKING:
    from tcfs.cli._harnesses import Transcripts
    from tcfs.mirror.loop import Loop

log: Final = logging.getLogger(__name__)

Ready = Callable[[str | None], None]
"""Called when a mount answers, with lines on what to beware of, or None."""


def serve(
    settings: Settings, path: Path, wish: Wish, transcripts: "Transcripts | None", ready: Ready
) -> None:
    """Mount, call `ready` once it answers, and return when it is unmounted."""
    trio.run(_serve, settings, path, wish, transcripts, ready)


async def _serve(
    settings: Settings, path: Path, wish: Wish, transcripts: "Transcripts | None", ready: Ready
) -> None:
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
    async with trio.open_nursery() as background:
        store = store_of(settings.store, wish.deadline)
        known = await _known(store, wish, background)
        opened = Project.open(
            Reading(known) if wish.read_only else known,
            agent=settings.agent,
            host=socket.gethostname(),
            state=state_home(os.environ),
            lease=wish.lease,
            deadline=wish.deadline,
            carry_on=not wish.read_only,
        )
        async with opened as project:
            project.upkeep.lost = lambda agent, key, why: refusals.record(
                agent, f"/{key.removesuffix('.json')}", errno.ENOENT, f"no longer yours: {why}"
            )
            if isinstance(store, S3Store):
                # Costs 0.3 s of imports, which the first conditional delete would pay for.
                project.later(store.prepare)
            warnings = [board.warning(known.capabilities)]
            if not wish.read_only:
                warnings.append(await _present(project, wish.deadline))
            loop, refused = _loop(project, settings, transcripts)
            warnings.append(refused)
            if loop is not None:
                info = replace(info, mirrored=loop.text)
            tree = root(project, info, refusals)
            async with trio.open_nursery() as mirroring:
                if loop is not None:
                    mirroring.start_soon(loop.run)
                with _told():
                    await serve_mount(
                        tree,
                        options,
                        identity=identity,
                        refusals=refusals,
                        metrics=project.metrics,
                        ready=lambda: ready("\n".join(filter(None, warnings)) or None),
                    )
                tree.end()
                mirroring.cancel_scope.cancel()  # it stores what is new by then
        # Not before: the project signs its agents off when it closes.
        background.cancel_scope.cancel()


def _loop(
    project: Project, settings: Settings, transcripts: "Transcripts | None"
) -> "tuple[Loop | None, str | None]":
    """Return the loop that mirrors; None, and the reason, where the store cannot take it."""
    if transcripts is None:
        return None, None
    # Costs 0.15 s of imports, which a mount that mirrors nothing does without.
    from tcfs.cli._harnesses import kept_for, sources_of
    from tcfs.cli._whose import agent_in
    from tcfs.mirror.loop import Loop, Wanted

    try:
        project.mirrors.check()
    except Unsupported as error:
        return None, str(error)
    kept = kept_for(settings, os.environ, project.store) if transcripts.redact else None
    sources = sources_of(transcripts.harnesses)
    return Loop(project, sources, Wanted(transcripts.root), kept, agent_in), None


async def _known(store: Store, wish: Wish, background: trio.Nursery) -> Store:
    """Return the store as it may be used; raises what `reach` does."""
    if not isinstance(store, S3Store):
        return store
    if store.plaintext:
        log.warning("nothing is encrypted to %s; %s", store.plaintext, PLAINTEXT)
    await reach(store)
    trust = Trust(
        path_of(store.service, os.environ),
        anew=wish.probe,
        silent=wish.read_only,
        best_effort=wish.best_effort,
        lasting=True,
    )
    return await probed(store, trust, background)


async def _present(project: Project, deadline: float) -> str | None:
    """Register the agent of a mount; return the line that says that it is elsewhere as well."""
    host = None
    try:
        with within(deadline):
            # The store was there a moment ago: one answer that is late ends no mount.
            try:
                host = await project.agents.elsewhere(project.agent)
            except Unavailable as error:
                log.warning("where else agent %s is alive is not known: %s", project.agent, error)
            await project.present()
    except (Denied, ReadOnly) as error:
        # It can be read, and every write will be told the same.
        log.warning("agent %s is not registered: %s", project.agent, error)
    if host is None:
        return None
    return f"{project.agent} is alive on host {on_one_line(host)} too; --agent tells them apart"


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except CannotMount as error:
        raise Failure(str(error)) from error
