"""`tcfs wait`, `complete`, `reopen`: steps without a mount."""

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import click

from tcfs.cli import _output
from tcfs.cli._failure import Exit, Failure
from tcfs.cli._visit_options import Where, json_option, visit_options

GIT: Final = 10.0  # seconds that git may take


@click.command(epilog="Example: tcfs wait design build --timeout 600")
@click.argument("steps", metavar="STEP...", nargs=-1, required=True)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Exit 124 after that.",
)
@json_option
@visit_options
def wait(where: Where, steps: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Wait until every STEP is complete, without a mount.

    Exits 1 at once when one is blocked or failed.
    """
    from tcfs.cli import _steps
    from tcfs.cli._visit import visit
    from tcfs.wire import json

    tell = _progress if sys.stderr is not None and sys.stderr.isatty() else None
    act = partial(_steps.wait, names=steps, patience=timeout, warn=_warn, tell=tell)
    try:
        outcome = visit(where, act)
    finally:
        if tell is not None:
            click.echo("\r\x1b[K", nl=False, err=True)
    if as_json:
        rows = [{"step": it, "status": state, "agent": by} for it, state, by in outcome.steps]
        _output.tell(json.view({"complete": outcome.error is None, "steps": rows}).decode())
    if outcome.error is not None:
        raise Failure(outcome.error, Exit.TIMED_OUT if outcome.late else Exit.FAILED)
    if not as_json:
        _output.tell(f"complete: {' '.join(it for it, _, _ in outcome.steps)}")


def _progress(waiting: Sequence[str], left: float) -> None:
    click.echo(f"\r\x1b[Kwaiting for {' '.join(waiting)}, {left:.0f} s left", nl=False, err=True)


def _warn(text: str) -> None:
    click.echo(f"tcfs: {text}", err=True)


@click.command(epilog="Example: tcfs complete design --note 'API is in api.py' --to developer")
@click.argument("step")
@click.option("--note", metavar="TEXT", help="What whoever comes next must know.")
@click.option("--to", "next_agent", metavar="AGENT", help="Who comes next.")
@click.option("--next-action", metavar="TEXT", help="What they should do first.")
@click.option("--blocked", is_flag=True, help="It is blocked, not complete.")
@click.option("--needs-review", is_flag=True, help="It needs review, and is not complete.")
@click.option("--changed-files-from-git", is_flag=True, help="Record what git diff HEAD names.")
@click.option("--force", is_flag=True, help="Take it from another agent, which is gone.")
@json_option
@visit_options
def complete(
    where: Where,
    step: str,
    note: str | None,
    next_agent: str | None,
    next_action: str | None,
    blocked: bool,
    needs_review: bool,
    changed_files_from_git: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Finish STEP with a handoff record, without a mount.

    One that nobody holds is claimed on the way. What was written to its handoff before stands,
    but for what is given here.
    """
    if blocked and needs_review:
        raise click.UsageError("--blocked and --needs-review exclude each other")
    changed = changed_files() if changed_files_from_git else None
    from tcfs.cli import _steps
    from tcfs.cli._visit import visit_to_write
    from tcfs.wire import json
    from tcfs.wire.documents import State
    from tcfs.wire.handoff import HandoffText

    state = State.BLOCKED if blocked else State.NEEDS_REVIEW if needs_review else State.COMPLETE
    record = HandoffText(note or "", next_agent, next_action, changed)
    given = None if record == HandoffText("") else record
    act = partial(_steps.complete, name=step, state=state, record=given, force=force)
    done = visit_to_write(where, lambda it: it.in_time(act(it)))
    if as_json:
        facts = {"step": done, "status": state.value, "agent": where.settings.agent}
        files = {} if changed is None else {"changed_files": list(changed)}
        _output.tell(json.view({**facts, "next_agent": next_agent, **files}).decode())
        return
    files_told = "" if changed is None else f", {len(changed)} changed files recorded"
    _output.tell(
        f"steps/{done} is {state.value}{f', for {next_agent}' if next_agent else ''}{files_told}"
    )


def changed_files() -> tuple[str, ...]:
    """Return the files that git sees changed since its last commit; none where git is not."""
    command = ["git", "diff", "--name-only", "-z", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        _warn(f"no changed files are recorded: {error}")
        return ()
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["git diff failed"]
        _warn(f"no changed files are recorded: {said[0]}")
        return ()
    return tuple(name for name in done.stdout.decode(errors="replace").split("\0") if name)


@click.command(epilog="Example: tcfs reopen design")
@click.argument("step")
@visit_options
def reopen(where: Where, step: str) -> None:
    """Make STEP pending again, without a mount; for who finished it, or holds it."""
    from tcfs.cli import _steps
    from tcfs.cli._visit import visit_to_write

    done = visit_to_write(where, lambda it: it.in_time(_steps.reopen(it, step)))
    _output.tell(f"steps/{done} is pending")
