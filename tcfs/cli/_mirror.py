"""What `tcfs mirror` does."""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import trio

from tcfs.cli._failure import Failure
from tcfs.cli._harnesses import kept_for, sources_of
from tcfs.cli._visit import Visit
from tcfs.cli.config import Settings
from tcfs.mirror.loop import Loop, Row, Wanted
from tcfs.mirror.sources import Source, file


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be mirrored, and how."""

    harness: str | None
    path: Path | None
    session_id: str | None
    directory: Path
    every: bool
    follow: bool
    interval: float
    least: int
    redact: bool


@final
@dataclass(frozen=True, slots=True)
class Done:
    """What came of one session."""

    row: Row

    @property
    def error(self) -> str | None:
        """Why it is not stored; None if it is, or another stores it."""
        progress = self.row.progress
        return progress.state if progress.failed else None

    def facts(self) -> dict[str, Any]:
        """Return it for `--json`."""
        row = self.row
        return {
            "harness": row.session.harness,
            "session_id": row.session.id,
            "source": row.source,
            "cwd": row.cwd,
            "lines": row.progress.lines,
            "source_bytes": row.progress.source_bytes,
            "uploaded_bytes": row.progress.uploaded_bytes,
            "state": row.progress.state,
        }

    def line(self) -> str:
        """Return it for people."""
        progress = self.row.progress
        if progress.state != "idle":
            return f"{self.row.session}: {progress.state}"
        if not progress.lines:
            return f"{self.row.session}: nothing new"
        return f"{self.row.session}: {progress.lines} lines, {progress.uploaded_bytes:,} bytes"


async def mirror(
    visit: Visit, settings: Settings, asked: Asked, tell: Callable[[str], object]
) -> Sequence[Done]:
    """Mirror what is new once, or until a signal; return what came of each session.

    Raises:
        Failure: there is no such harness, or no session of the directory.
        Unsupported: the store replaces objects without comparing.
    """
    project = visit.project
    project.mirrors.check()
    wanted = Wanted(
        root=asked.directory,
        session_id=asked.session_id,
        newest=not asked.every and asked.session_id is None,
        least=asked.least if asked.follow else 1,
        interval=asked.interval,
    )
    kept = kept_for(settings, os.environ, project.store) if asked.redact else None
    loop = Loop(project, _sources(asked), wanted, kept)
    if asked.follow:
        tell(f"mirroring what runs in {asked.directory.absolute()}; Ctrl-C ends it")
        await _until_told(loop.run)
    else:
        await loop.end()
    done = [Done(it) for it in loop.rows()]
    if not done and not asked.follow:
        which = f"session {asked.session_id}" if asked.session_id else "session"
        raise Failure(
            f"no {which} of {asked.harness or 'any harness'} ran in {asked.directory.absolute()}; "
            "name another directory with --cwd, or the harness with --harness"
        )
    if any(it.row.progress.lines for it in done):
        project.acted(visit.agent)
    for it in done:
        if it.error is None:
            tell(it.line())
    return done


def _sources(asked: Asked) -> list[Source]:
    if asked.path is not None:
        return [file(asked.path, asked.directory.absolute())]
    return sources_of([asked.harness or "all"])


async def _until_told(run: Callable[[], Any]) -> None:
    """Run until SIGINT or SIGTERM, of which a second one ends it at once."""
    async with trio.open_nursery() as nursery:

        async def end(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            with ExitStack() as stack:
                told = stack.enter_context(trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM))
                task_status.started()
                async for _ in told:
                    break
            nursery.cancel_scope.cancel()

        await nursery.start(end)
        await run()
