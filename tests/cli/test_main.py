"""How commands are found, and how errors are told (cli.md)."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import tcfs as package
from tcfs.cli import _main
from tcfs.cli._failure import Exit, Failure
from tcfs.stores import Denied

Tcfs = Callable[..., "subprocess.CompletedProcess[str]"]
HEAVY = ("boto3", "botocore", "obstore", "pyfuse3", "trio")


@pytest.mark.parametrize("command", [None, *_main.COMMANDS])
def test_help_imports_nothing_heavy(command: str | None) -> None:
    script = (
        "import json, sys; from tcfs.cli import main\n"
        "code = main(sys.argv[1:])\n"
        f"print(json.dumps([code, sorted(sys.modules.keys() & set({HEAVY!r}))]))"
    )
    arguments = [*filter(None, [command]), "--help"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
    assert "Example: tcfs" in done.stdout


@pytest.mark.parametrize("command", _main.COMMANDS)
def test_list_of_commands_begins_as_the_command_s_help(command: str) -> None:
    module, line = _main.COMMANDS[command]
    own = getattr(importlib.import_module(module), command)
    assert isinstance(own, click.Command)
    assert own.help is not None
    assert own.help.split()[0] == line.split()[0]


def test_version_is_the_package_s(tcfs: Tcfs) -> None:
    assert tcfs("--version").stdout == f"tcfs {package.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mont"], "see tcfs --help"),
        (["mount", "--agnet", "x"], "see tcfs mount --help"),
        (["mount", "a", "b", "c"], "see tcfs mount --help"),
        (["mount", "--deadline", "0"], "see tcfs mount --help"),
        (["mount", "-o", "agnet=x"], "-o: 'agnet=x' is not known"),
        (["mount", "-o", "deadline=soon"], "'deadline=soon' is no number of seconds"),
        (["init", "--bucket", "b", "--access-key", "k"], "given together"),
        (["init", "--bucket", "b", "--public"], "private buckets only"),
        (["cat"], "see tcfs cat --help"),
        (["complete", "x", "--blocked", "--needs-review"], "exclude each other"),
    ],
)
def test_usage_errors_say_what_to_do(tcfs: Tcfs, arguments: list[str], says: str) -> None:
    done = tcfs(*arguments)
    assert done.returncode == Exit.USAGE
    assert done.stdout == ""
    assert done.stderr.startswith("tcfs: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_failure_is_one_line_and_exit_code_1(tcfs: Tcfs) -> None:
    done = tcfs("mount", "hf://user/bucket/project")
    assert done.returncode == Exit.FAILED
    assert done.stderr.startswith("tcfs: hf://user/bucket/project: ")
    assert done.stderr.count("\n") == 1


def test_what_the_store_says_is_told() -> None:
    group = ExceptionGroup("nursery", [ExceptionGroup("nursery", [Denied("no; do this")])])
    failure = _main.as_failure(group)
    assert failure is not None
    assert (str(failure), failure.code) == ("no; do this", Exit.FAILED)


def test_a_bug_is_nothing_to_tell() -> None:
    assert _main.as_failure(ZeroDivisionError()) is None
    assert _main.as_failure(ExceptionGroup("two", [Denied("a"), Denied("b")])) is None


def test_system_errors_name_the_file() -> None:
    with pytest.raises(OSError, match="nowhere") as error:
        Path("/nowhere/at/all").read_text()
    failure = _main.as_failure(error.value)
    assert str(failure) == "/nowhere/at/all: No such file or directory"


def test_failure_keeps_its_exit_code() -> None:
    failure = Failure("late; wait longer", Exit.TIMED_OUT)
    assert _main.as_failure(ExceptionGroup("nursery", [failure])) is failure
