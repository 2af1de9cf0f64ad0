"""The group of all commands, and how their errors are told."""

import importlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, final

import click

from tcfs import __version__
from tcfs.cli import _output
from tcfs.cli._failure import Exit, Failure

COMMANDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "mount": ("tcfs.cli.mount", "Mount a project, and return once it answers."),
        "umount": ("tcfs.cli.umount", "Unmount, once what was written is stored."),
        "init": ("tcfs.cli.init", "Write the configuration, make the bucket, register the agent."),
        "status": ("tcfs.cli.status", "Print an overview of agents, steps and mail."),
        "ls": ("tcfs.cli.files", "List a directory of the tree, without a mount."),
        "cat": ("tcfs.cli.files", "Print files of the tree."),
        "put": ("tcfs.cli.files", "Write stdin to a file of the tree: claim, set, send."),
        "append": ("tcfs.cli.files", "Add stdin to a file of the tree."),
        "rm": ("tcfs.cli.files", "Remove files of the tree; give a claim back."),
        "mkdir": ("tcfs.cli.files", "Make directories in the tree."),
        "stat": ("tcfs.cli.files", "Print what a path of the tree is."),
        "wait": ("tcfs.cli.steps", "Wait until steps are complete."),
        "complete": ("tcfs.cli.steps", "Finish a step with a handoff record."),
        "reopen": ("tcfs.cli.steps", "Make a finished step pending again."),
        "history": ("tcfs.cli.history", "Print the versions of a memory key."),
        "mirror": ("tcfs.cli.mirror", "Store what is new in the transcripts of coding agents."),
        "session": ("tcfs.cli.session", "Browse, end and merge mirrored transcripts."),
        "doctor": (
            "tcfs.cli.doctor",
            "Look at what a mount would need; each line ok or what to do.",
        ),
        "demo": ("tcfs.cli.demo", "Watch two agents race for one step; leaves nothing behind."),
    }
)
"""The module of each command, and its line in the list, so that listing imports none."""


@final
class _Commands(click.Group):
    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        with _output.unread():  # `--help` is printed here; click would exit with 1
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _output.unread():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    name="tcfs",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: tcfs mount s3://bucket/project /mnt/tracecraft --agent designer",
)
@click.version_option(__version__, message="tcfs %(version)s")
def tcfs() -> None:
    """Mount the bucket that agents coordinate through as a directory."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; errors are told on stderr."""
    try:
        result = tcfs.main(args=arguments, prog_name="tcfs", standalone_mode=False)
    except click.UsageError as error:
        return _tell(_usage(error), Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _tell("interrupted", Exit.INTERRUPTED)
    except Exception as error:
        known = as_failure(error)
        if known is None:
            raise
        return _tell(str(known), known.code)
    return result if isinstance(result, int) else Exit.DONE


def as_failure(error: BaseException) -> Failure | None:
    """Return what an error means to whoever ran the command; None for a bug."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    match error:
        case Failure():
            return error
        case click.ClickException():
            return Failure(error.format_message())
        case OSError() if error.filename is not None:
            return Failure(f"{error.filename}: {error.strerror}")
        case Exception() if _is_refusal(error):
            return Failure(str(error))
        case _:
            return None


def _is_refusal(error: Exception) -> bool:
    # Late: the table stands on the whole project, which the list of commands does without.
    from tcfs.tree.errnos import errno_of

    return errno_of(error) is not None


def _usage(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx is not None else "tcfs"
    text = error.format_message().rstrip(".")
    return f"{text[:1].lower()}{text[1:]}; see {command} --help"


def _tell(text: str, code: Exit) -> int:
    from tcfs.wire.text import on_one_line  # late, as all is that lists no commands

    with suppress(OSError):  # the code tells it as well, where nobody reads this
        # A path may hold anything, and a terminal obeys.
        click.echo(f"tcfs: {on_one_line(text)}", err=True)
    return code
