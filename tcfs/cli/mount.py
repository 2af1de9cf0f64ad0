"""`tcfs mount`."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tcfs.cli import _daemon, _log, _main, _mountpoint, _output, _record
from tcfs.cli._failure import Failure
from tcfs.cli._fstab import BEST_EFFORT, CLAIMS, LEASE, Wish, check_lease, in_time, parse_fstab
from tcfs.cli._places import own, slug, state_home
from tcfs.cli._store_options import settings_of, store_options
from tcfs.cli.config import Asked, Local, Settings

if TYPE_CHECKING:
    from tcfs.cli._harnesses import Transcripts


@click.command(epilog="Example: tcfs mount s3://bucket/project ~/fleet --agent designer")
@click.argument("store", required=False)
# Not `readable`: nothing of a dead mount is, and it is to be cleared away.
@click.argument("mountpoint", required=False, type=click.Path(readable=False, path_type=Path))
@store_options
@click.option("--foreground", is_flag=True, help="Stay, log to stderr, unmount on Ctrl-C.")
@click.option("--read-only", is_flag=True, help="Change nothing in the store.")
@click.option("--allow-other", is_flag=True, help="Let other users in: they can be any agent.")
@click.option(
    "--claims",
    type=click.Choice(CLAIMS),
    default="atomic",
    show_default=True,
    help="best-effort: claim even where the store cannot decide who is first.",
)
@click.option("--probe", is_flag=True, help="Try out anew what the store does, known or not.")
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="What a file operation may take, if the store is slow.",
)
@click.option(
    "--lease",
    type=int,
    callback=lambda _context, _option, seconds: check_lease(seconds),
    default=LEASE,
    show_default=True,
    metavar="SECONDS",
    help="How long a claim outlives this mount; 0: for ever.",
)
@click.option(
    "--mirror",
    metavar="HARNESS,…",
    callback=lambda _context, _option, names: tuple(names.split(",")) if names else (),
    help="Store the transcripts of coding agents as they go on: claude-code, codex, … or all.",
)
@click.option(
    "--mirror-root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Of those that ran in DIR or below.  [default: the current directory]",
)
@click.option("--mirror-all", is_flag=True, help="Wherever they ran.")
@click.option("--no-redact", is_flag=True, help="Store transcripts with the secrets in them.")
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="TCFS_LOG",
    show_envvar=True,
    help="Where to log.  [default: a file in ~/.local/state/tcfs]",
)
@click.option("-o", "fstab", metavar="OPTIONS", default="", help="The same, as fstab has them.")
def mount(
    store: str | None,
    mountpoint: Path | None,
    agent: str | None,
    endpoint: str | None,
    profile: str | None,
    region: str | None,
    foreground: bool,
    read_only: bool,
    allow_other: bool,
    claims: str,
    probe: bool,
    deadline: float,
    lease: int,
    mirror: tuple[str, ...],
    mirror_root: Path | None,
    mirror_all: bool,
    no_redact: bool,
    log_file: Path | None,
    fstab: str,
) -> None:
    """Mount a project, and return once it answers.

    STORE is s3://bucket/project, file:///dir or a directory; without it, that of
    ./.tracecraft.json or ~/.tracecraft/config.json, else a store on this host, named for the
    current directory. MOUNTPOINT is /mnt/tracecraft, or ~/tracecraft where that cannot be made.
    """
    asked = Asked("tcfs mount", store, agent, endpoint, region, profile)
    best_effort = claims == BEST_EFFORT
    given = Wish(
        *(asked, read_only, allow_other, deadline, lease, log_file, best_effort, probe),
        *(mirror, mirror_root, mirror_all, no_redact),
    )
    wish = in_time(parse_fstab(fstab, given))
    settings = settings_of(wish.asked)
    transcripts = _transcripts(wish)
    place = _mountpoint.resolve(mountpoint or _mountpoint.choose())
    _check_apart(settings, place)
    if wish.allow_other:
        _mountpoint.check_others_allowed()
    _mount(settings, place, wish, transcripts, foreground=foreground)


def _transcripts(wish: Wish) -> "Transcripts | None":
    if not wish.mirror:
        if wish.mirror_root or wish.mirror_all or wish.no_redact:
            raise click.UsageError("nothing is mirrored; add --mirror all, or a harness")
        return None
    if wish.read_only:
        raise click.UsageError("a read-only mount stores no transcripts; leave one of the two out")
    if wish.mirror_root and wish.mirror_all:
        raise click.UsageError("--mirror-root and --mirror-all exclude each other")
    from tcfs.cli._harnesses import Transcripts, known

    # A mount in the background works in the root directory.
    root = None if wish.mirror_all else (wish.mirror_root or Path()).absolute()
    return Transcripts(known(wish.mirror), root, redact=not wish.no_redact)


def _check_apart(settings: Settings, place: Path) -> None:
    if not isinstance(settings.store, Local):
        return
    directory = _mountpoint.resolve(settings.store.directory)
    if directory.is_relative_to(place) or place.is_relative_to(directory):
        raise Failure(
            f"{place} would hide the store {directory}, or lie in it;"
            " give both, apart: tcfs mount STORE MOUNTPOINT"
        )


def _mount(
    settings: Settings,
    path: Path,
    wish: Wish,
    transcripts: "Transcripts | None",
    *,
    foreground: bool,
) -> None:
    state = own(state_home(os.environ))
    to_terminal = foreground and wish.log_file is None
    log_file = (wish.log_file or state / f"{slug(path)}.log").absolute()
    if not to_terminal:
        _log.make(log_file)
    hold = _record.take(path, state)
    try:
        place = _mountpoint.prepare(path)
    except Failure:
        hold.release()
        raise
    log = None if to_terminal else log_file

    def body(ready: _daemon.Ready) -> None:
        _log.to_terminal() if log is None else _log.to_file(log)
        hold.write(_record_of(settings, path, log))
        try:
            _serve(settings, path, wish, transcripts, ready)
        finally:
            if place.made:
                with contextlib.suppress(OSError):  # somebody keeps something in it
                    path.rmdir()
            hold.release()

    if foreground:
        body(_output.tell)
    else:
        _output.tell(_daemon.detach(body, _main.as_failure, log_file))


def _record_of(settings: Settings, path: Path, log: Path | None) -> _record.Record:
    return _record.Record(
        mountpoint=str(path),
        pid=os.getpid(),
        store=settings.store.url,
        agent=settings.agent,
        log=None if log is None else str(log),
    )


def _serve(
    settings: Settings,
    path: Path,
    wish: Wish,
    transcripts: "Transcripts | None",
    ready: _daemon.Ready,
) -> None:
    # Not before here, which is after the fork: trio and obstore do not survive one.
    try:
        from tcfs.cli._serve import serve
    except ImportError as error:
        raise Failure(
            f"{error}: mounting needs pyfuse3 and libfuse3; install them (pip install pyfuse3), or "
            "use the commands that need no mount: tcfs --help"
        ) from error

    def answering(warning: str | None) -> None:
        text = announcement(settings, path)
        ready(text if warning is None else f"{text}\n{warning}")
        _daemon.notify(f"READY=1\nMAINPID={os.getpid()}", os.environ)

    serve(settings, path, wish, transcripts, ready=answering)


def announcement(settings: Settings, path: Path) -> str:
    """Return what a mount prints when it is there."""
    text = f"mounted {settings.store.url} at {path} as agent {settings.agent}"
    if isinstance(settings.store, Local):
        text += "\nthis store is a directory of this host: it is not shared between hosts"
    return text
