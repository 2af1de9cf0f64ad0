"""`tcfs mirror`."""

from pathlib import Path

import click

from tcfs.cli import _output
from tcfs.cli._failure import Exit
from tcfs.cli._visit_options import Where, json_option, visit_options


@click.command(epilog="Example: tcfs mirror --harness claude-code --follow")
@click.option("--harness", metavar="H", help="Only what ran in it, or `file` with --path.")
@click.option(
    "--path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="F",
    help="A JSON Lines file of any other tool, with --harness file.",
)
@click.option("--session-id", metavar="ID", help="Only this session, as in sessions/HARNESS/ID.")
@click.option(
    "--cwd",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="What ran in DIR or below.  [default: the current directory]",
)
@click.option("--all", "every", is_flag=True, help="Every session there, not just the newest.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C or SIGTERM.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks, with --follow.",
)
@click.option(
    "--min-bytes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="With --follow, wait until N bytes are new.",
)
@click.option("--no-redact", is_flag=True, help="Store transcripts with the secrets in them.")
@json_option
@visit_options
def mirror(
    where: Where,
    harness: str | None,
    path: Path | None,
    session_id: str | None,
    cwd: Path | None,
    every: bool,
    follow: bool,
    interval: float,
    min_bytes: int,
    no_redact: bool,
    as_json: bool,
) -> None:
    """Store what is new in the transcripts of coding agents, without a mount.

    Every complete line is stored once, whoever else mirrors the session; secrets are taken out
    before anything leaves this host. Without --follow it ends when all of it is stored.
    """
    if (harness == "file") != (path is not None):
        raise click.UsageError("--harness file and --path go together")
    if every and session_id is not None:
        raise click.UsageError("--all and --session-id exclude each other")
    from tcfs.cli import _mirror
    from tcfs.cli._visit import visit_to_write
    from tcfs.wire import json
    from tcfs.wire.text import on_one_line

    asked = _mirror.Asked(
        harness=harness,
        path=path,
        session_id=session_id,
        directory=cwd or Path.cwd(),
        every=every,
        follow=follow,
        interval=interval,
        least=min_bytes,
        redact=not no_redact,
    )

    def tell(line: str) -> None:
        if not as_json:
            _output.tell(on_one_line(line))

    done = visit_to_write(where, lambda it: _mirror.mirror(it, where.settings, asked, tell))
    if as_json:
        _output.tell(json.view([it.facts() for it in done]).decode())
    if any(it.error is not None for it in done):  # which was told as it happened
        raise click.exceptions.Exit(Exit.FAILED)
