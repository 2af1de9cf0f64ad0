"""`tcfs session`."""

import click

from tcfs.cli import _output
from tcfs.cli._visit_options import Where, json_option, visit_options


@click.group(epilog="Example: tcfs session show 5ca1ab1e-0000-4000-8000-000000000001 --tail 20")
def session() -> None:
    """Browse, end and merge mirrored transcripts, without a mount.

    SESSION is an id, or HARNESS/ID where several harnesses have the same.
    """


@session.command("list", epilog="Example: tcfs session list --harness claude-code --sort-by size")
@click.option("--harness", metavar="H", help="Only those that ran in it.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="So many at most."
)
@click.option(
    "--sort-by", type=click.Choice(["recent", "size"]), default="recent", show_default=True
)
@json_option
@visit_options
def list_sessions(
    where: Where, harness: str | None, limit: int, sort_by: str, as_json: bool
) -> None:
    """List the sessions in the bucket."""
    from tcfs.cli import _sessions
    from tcfs.cli._visit import visit
    from tcfs.wire import json
    from tcfs.wire.text import on_one_line

    rows = visit(where, lambda it: it.in_time(_sessions.listed(it, harness, sort_by, limit)))
    if as_json:
        _output.show(json.view([it.facts() for it in rows]) + b"\n")
        return
    if not rows:
        _output.tell("no session is mirrored here; tcfs mirror stores one")
        return
    lines = [f"{'SESSION':<50} {'BYTES':>14} {'PARTS':>6}  LAST UPLOAD\n"]
    for it in rows:
        name = on_one_line(f"{it.session.harness}/{it.session.id}")
        last = on_one_line((it.last_uploaded_at or "-")[:19])
        ended = "  ended" if it.ended_at else ""
        lines.append(f"{name:<50} {it.uploaded_bytes:>14,} {it.parts:>6}  {last}{ended}\n")
    _output.show("".join(lines).encode(errors="surrogateescape"))


@session.command(epilog="Example: tcfs session show claude-code/5ca1ab1e --tail 20")
@click.argument("name", metavar="SESSION")
@click.option("--tail", type=click.IntRange(min=0), default=0, metavar="N", help="And N lines.")
@visit_options
def show(where: Where, name: str, tail: int) -> None:
    """Print what is known of SESSION, as JSON, and the last lines of its transcript."""
    from tcfs.cli import _sessions
    from tcfs.cli._visit import visit
    from tcfs.wire import Malformed, json
    from tcfs.wire.text import shown

    meta, lines = visit(where, lambda it: it.in_time(_sessions.shown(it, name, tail)))
    try:
        json.load(meta)
    except Malformed:  # nothing that a program could read: for people only
        meta = shown(meta)
    _output.show_stored(meta.rstrip(b"\n") + b"\n")
    if tail:
        _output.show_stored(b"\n--- tail ---\n" + lines)


@session.command(epilog="Example: tcfs session stop 5ca1ab1e-0000-4000-8000-000000000001")
@click.argument("name", metavar="SESSION")
@json_option
@visit_options
def stop(where: Where, name: str, as_json: bool) -> None:
    """Say that SESSION is over: a mirror that follows it stops, one begun later goes on."""
    from tcfs.cli import _sessions
    from tcfs.cli._visit import visit_to_write
    from tcfs.wire import json

    done, new = visit_to_write(where, lambda it: _sessions.stop(it, name))
    if as_json:
        facts = {"harness": done.harness, "session_id": done.id, "ended_now": new}
        _output.tell(json.view(facts).decode())
    else:
        _output.tell(f"{done} is ended" if new else f"{done} was ended before")


@session.command(epilog="Example: tcfs session compact 5ca1ab1e --keep-tail 4")
@click.argument("name", metavar="SESSION")
@click.option(
    *("--keep-tail", "keep_tail"),
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Leave the newest N parts as they are.",
)
@json_option
@visit_options
def compact(where: Where, name: str, keep_tail: int, as_json: bool) -> None:
    """Merge the parts of SESSION into few. Its transcript stays the same, and never has a gap."""
    from tcfs.cli import _sessions
    from tcfs.cli._visit import visit_to_write
    from tcfs.wire import json

    done, before, after = visit_to_write(where, lambda it: _sessions.compact(it, name, keep_tail))
    if as_json:
        facts = {"harness": done.harness, "session_id": done.id, "before": before, "parts": after}
        _output.tell(json.view(facts).decode())
    elif before == after:
        _output.tell(f"{done} has nothing to merge: {before} parts")
    else:
        _output.tell(f"{done}: {before} parts are {after}")
