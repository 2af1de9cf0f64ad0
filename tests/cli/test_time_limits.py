"""What takes longer than it may ends a command with 124; what is refused, or fails, with 1."""

import re
import subprocess
from collections.abc import Callable

import pytest

from tcfs.cli._failure import Exit
from tests.mounts import credentials
from tests.servers import Account
from tests.stores import scripted

Tcfs = Callable[..., "subprocess.CompletedProcess[str]"]
# What the last answered attempt met, or that none was answered: whichever came first.
ANSWER = r"(did not answer|no answer) in time; check the network and the endpoint"
LINES = [("cat", "steps/x/status"), ("ls", "memory"), ("stat", "memory/k")]


def run(tcfs: Tcfs, account: Account, *line: str) -> "subprocess.CompletedProcess[str]":
    where = ("--store", "s3://bucket/project", "--endpoint", account.endpoint, "--deadline", "1")
    return tcfs(*line, *where, **credentials(account))


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_store_that_answers_nothing_is_124(tcfs: Tcfs, line: tuple[str, ...]) -> None:
    with scripted.serving(scripted.hang) as (account, _):
        done = run(tcfs, account, *line)
    assert done.returncode == Exit.TIMED_OUT, done.stderr
    assert re.search(ANSWER, done.stderr), done.stderr


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_store_that_refuses_is_1(tcfs: Tcfs, line: tuple[str, ...]) -> None:
    with scripted.serving(scripted.error("403 Forbidden", "AccessDenied")) as (account, _):
        done = run(tcfs, account, *line)
    assert done.returncode == Exit.FAILED
    assert "check the credentials and what they allow" in done.stderr
