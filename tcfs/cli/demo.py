"""`tcfs demo`: a coordinated piece of work, run for real and checked at every step."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import click

from tcfs.cli import _mountpoint
from tcfs.cli._demo_shell import Running, Shell
from tcfs.cli._failure import Failure

AGENTS: Final = ("designer", "developer")


@click.command(epilog="Example: tcfs demo")
def demo() -> None:
    """Watch two agents race for one step; leaves nothing behind.

    Two mounts of one project, each with its own agent, in a temporary directory of this host.
    Every command you see is run by bash, and what it does is checked.
    """
    if shutil.which("bash") is None:
        raise Failure("bash is missing, which the demo runs its commands with; install it")
    with _two_mounts() as (designer, developer):
        _work(designer, developer)
    _say("Everything behaved. Both mounts and the store are gone again.")


def _work(designer: Shell, developer: Shell) -> None:
    _say("Two agents, two mounts of one project. It is a directory:")
    developer.run("ls", expect="steps")
    developer.run("cat .tcfs/agent", expect="developer")

    _say("Both want the design step, at the same moment. Claiming is creating a file:")
    winner, loser = _race(designer, developer, "echo '{agent} is on it' > steps/design/claim")
    winner.run("cat steps/design/claim", expect=winner.agent)
    loser.run("cat steps/design/owner", expect=winner.agent)

    _say(f"So the {loser.agent} takes the API, which the {winner.agent} needs. Waiting is reading:")
    loser.run("echo 'API first' > steps/api/claim")
    waiting = winner.start("cat steps/api/wait")

    _say("Memory is files, and shared:")
    winner.run("echo 'v2, JSON over HTTP' > memory/design.contract")
    loser.run("cat memory/design.contract", expect="v2, JSON over HTTP")

    _say("Mail is appending to a file, and reading one:")
    to = loser.agent
    winner.run(f"echo 'contract is in memory/design.contract' >> messages/{to}/inbox")
    loser.run(f"cat messages/{to}/inbox", expect=winner.agent)

    _say("Done: a note for whoever comes next, then the status.")
    if waiting.is_over():
        raise Failure("the wait for steps/api ended too early; please report this")
    loser.run("echo 'API is in api.py' > steps/api/handoff")
    loser.run("echo complete > steps/api/status")
    _goes_on(winner, waiting)
    winner.run("cat steps/api/handoff", expect="API is in api.py")
    winner.run("echo complete > steps/design/status")

    _say("The whole fleet at a glance:")
    developer.run("cat status", expect="design")


def _race(one: Shell, other: Shell, command: str) -> tuple[Shell, Shell]:
    """Let two shells run a command at once; return who won and who lost."""
    shells = (one, other)
    racing = [shell.at_the_gate(command.format(agent=shell.agent)) for shell in shells]
    for running in racing:
        running.let_go()
    results = [running.finish() for running in racing]
    for shell, running, (_, output) in zip(shells, racing, results, strict=True):
        shell.show(running.command)
        click.echo(output, nl=False)
    won = [shell for shell, (code, _) in zip(shells, results, strict=True) if code == 0]
    lost = [
        shell for shell, (_, output) in zip(shells, results, strict=True) if "File exists" in output
    ]
    if len(won) != 1 or len(lost) != 1:
        raise Failure(
            f"{len(won)} agents won the race and {len(lost)} were told 'File exists', not one"
            " and one; please report this"
        )
    _say(f"One of them has it, the {won[0].agent}. In a bucket, that is so across hosts:")
    return won[0], lost[0]


def _goes_on(shell: Shell, waiting: Running) -> None:
    code, output = waiting.finish()
    _say(f"And the {shell.agent}'s '{waiting.command}' has returned:")
    click.echo(output, nl=False)
    if code != 0 or output != "complete\n":
        raise Failure(f"it ended with {code}, not with 'complete'; please report this")


@contextmanager
def _two_mounts() -> Iterator[Sequence[Shell]]:
    with ExitStack() as stack:
        base = stack.enter_context(_directory())
        shells = []
        for agent in AGENTS:
            place = base / "mnt" / agent
            stack.enter_context(_mount(base, place, agent))
            shells.append(Shell(agent, place))
            stack.callback(shells[-1].close)
        yield shells


@contextmanager
def _directory() -> Iterator[Path]:
    base = _mountpoint.resolve(Path(tempfile.mkdtemp(prefix="tcfs-demo-")))
    try:
        yield base
    finally:
        # Not through a mount that would not go: removing what is in it is work for the project.
        if not any(path.is_relative_to(base) for path, _ in _mountpoint.mounts()):
            shutil.rmtree(base)


@contextmanager
def _mount(base: Path, place: Path, agent: str) -> Iterator[None]:
    _tcfs(base, "mount", str(base / "store"), str(place), "--agent", agent)
    try:
        yield
    except BaseException:
        with suppress(Failure):  # what went wrong first is what is told
            _unmount(base, place)
        raise
    _unmount(base, place)


def _unmount(base: Path, place: Path) -> None:
    try:
        _tcfs(base, "umount", str(place))
    except Failure:
        with suppress(Failure):
            _tcfs(base, "umount", "--lazy", str(place))
        raise


def _tcfs(base: Path, *arguments: str) -> None:
    environ = os.environ | {"XDG_STATE_HOME": str(base / "state")}
    for name in ("TRACECRAFT_AGENT", "TCFS_LOG", "NOTIFY_SOCKET"):
        environ.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "tcfs.cli", *arguments],
        cwd=base,
        env=environ,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise Failure(done.stderr.strip().removeprefix("tcfs: ") or f"tcfs {arguments[0]} failed")


def _say(text: str) -> None:
    click.echo(click.style(f"\n# {text}", dim=True))
