"""Commands run for real in bash, and shown as a terminal would show them."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Final, final

import click

from tcfs.cli._failure import Failure

PATIENCE: Final = 30.0  # seconds for a command that should take none
_COLOURS: Final = {"designer": "magenta", "developer": "cyan"}


@final
class Running:
    """A command that has begun."""

    def __init__(self, agent: str, command: str, process: subprocess.Popen[str]) -> None:
        self._agent = agent
        self.command = command
        self._process = process

    def let_go(self) -> None:
        """Open the gate that `Shell.at_the_gate` put before it."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self._process.poll() is not None

    def finish(self) -> tuple[int, str]:
        """Wait for its end and return its exit code and what it printed.

        Raises:
            Failure: it does not end.
        """
        try:
            output, _ = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(
                f"the demo's {self._agent} waits for ever at: {self.command}; please report this"
            ) from None
        return self._process.returncode, output

    def kill(self) -> None:
        """End it, and what it started, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@final
class Shell:
    """One agent's shell, in its own mount."""

    def __init__(self, agent: str, directory: Path) -> None:
        self.agent = agent
        self._directory = directory
        # A mount asks the environment first: this shell is to be the mount's own agent.
        hidden = ("TRACECRAFT_AGENT", "BASH_ENV")
        self._environ = {name: v for name, v in os.environ.items() if name not in hidden}
        self._environ["LC_ALL"] = "C"  # its messages are looked at
        self._running: list[Running] = []

    def show(self, command: str) -> None:
        """Show a command after the agent's prompt."""
        prompt = click.style(f"{self.agent}$", fg=_COLOURS.get(self.agent), bold=True)
        click.echo(f"{prompt} {command}")

    def run(self, command: str, *, expect: str | None = None) -> str:
        """Show a command, run it, show what it printed, and return that.

        Raises:
            Failure: it failed, or `expect` is not in what it printed.
        """
        self.show(command)
        code, output = self._begin(command).finish()
        click.echo(output, nl=False)
        if code != 0 or (expect is not None and expect not in output):
            wanted = "to succeed" if expect is None else f"'{expect}'"
            raise Failure(
                f"{self.agent}'s '{command}' ended with {code}, and the demo expected {wanted};"
                " please report this"
            )
        return output

    def start(self, command: str) -> Running:
        """Show a command as one in the background, and begin it."""
        self.show(f"{command} &")
        return self._begin(command)

    def at_the_gate(self, command: str) -> Running:
        """Begin a shell that runs a command once it is let go."""
        return self._begin(command, gate="read -r; ")

    def close(self) -> None:
        """End whatever still runs."""
        for running in self._running:
            if not running.is_over():
                running.kill()

    def _begin(self, command: str, gate: str = "") -> Running:
        process = subprocess.Popen(
            # eval, so that bash's messages are those of an own command line
            ["bash", "--norc", "-c", f'{gate}eval "$1"', "bash", command],
            cwd=self._directory,
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        running = Running(self.agent, command, process)
        self._running.append(running)
        return running
