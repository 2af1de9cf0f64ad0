"""`README` in the root of a mount: every command in it, run as it stands."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.mounts import Mount, until

COLUMN = 17  # where the commands begin
MEANT = {  # what a reader puts for the words that stand for something
    "...": ":",
    "NAME": "developer",
    "HARNESS/ID": "codex/one",
    "tail -f": "timeout 0.3 tail -f",
    "timeout 300": "timeout 20",
}


def commands(text: str) -> list[str]:
    found = []
    for line in text.splitlines()[3:]:
        command = re.sub(r"(\s{3,}| +\().*$", "", line[COLUMN:])
        if re.match(r"[A-Za-z(]+[= ;].*/mnt-", command):
            found.append(command)
    return found


def run(mount: Mount, command: str) -> "subprocess.CompletedProcess[str]":
    for word, meant in MEANT.items():
        command = command.replace(word, meant)
    return mount.sh(f"cd ..; {command}")


def test_commands_are_found() -> None:
    line = 'X Y              L=/mnt-a/b; mkdir $L && trap "rmdir $L" EXIT     (whose? cat $L)'
    text = f"a\nb\n\n{line}\n                 also: blocked  /mnt-a"
    assert commands(text) == ['L=/mnt-a/b; mkdir $L && trap "rmdir $L" EXIT']


def test_every_command_works(home: Path, mount: Mount, other: Mount) -> None:
    """`README` is one screen, with the paths and the agent of its mount."""
    text = mount.out("cat README")
    assert len(text.splitlines()) < 50
    assert (
        max(len(it.replace(str(mount.path), "/mnt/tracecraft")) for it in text.splitlines()) < 125
    )
    for word in ("unread", "/wait", "ready/take", "/hold", "/after", "locks/", "lease", "as/NAME"):
        assert word in text, word
    session = home / "store" / "sessions" / "codex" / "one"
    session.mkdir(parents=True)
    (session / "meta.json").write_text("{}")
    (home / "report.pdf").write_text("report\n")
    mount.out("echo v > artifacts/shared/first; echo v > as/api/steps/api/claim")
    found = commands(text)
    assert len(found) > 25
    shown = {}
    for command in found:
        if "/artifacts/design" in command:
            mount.out("mkdir -p artifacts/design")
        if "messages/designer/" in command:
            other.out("echo 'for you' >> messages/designer/inbox")
        if "ready/take" in command:
            assert mount.out("ls ready") == ""
            mount.out("echo complete > as/api/steps/api/status")
        done = run(mount, command)
        expected = 124 if "tail -f" in command else 0
        assert done.returncode == expected, (command, done.stdout, done.stderr)
        shown[command.rpartition(f"{mount.path}/")[2]] = done.stdout
        # What is held while a shell lives is given back a moment after it.
        until(lambda: "locks" not in mount.out("ls -d locks/db 2> /dev/null || true"), "the lock")
        if command.endswith("/hold"):
            until(lambda: mount.out("cat steps/design/status") == "pending\n", "the step")
    assert shown["steps/design/wait"] == "complete\n"
    assert other.out("cat steps/design/status steps/build/status") == "complete\ncomplete\n"
    assert other.out("cat steps/design/handoff") == "what the next one must know\n"
    assert shown["memory/design.contract"] == "v2, JSON over HTTP\n"
    assert shown["messages/designer/unread"].endswith("developer: for you\n")
    assert shown["messages/designer/wait"].endswith("developer: for you\n")
    mail = other.out("cat messages/developer/inbox")
    for line in (
        "contract is in memory/design.contract",
        "release at noon",
        "[step design]: ready",
    ):
        assert line in mail
    assert other.out("cat artifacts/shared/report.pdf runs/1/*") == 'report\n{"loss": 1}\n'
    assert other.out("cat memory/log memory/leader") == "a line\nmine\n"


@pytest.mark.parametrize(
    ("before", "attempt", "told"),
    [
        ("echo > steps/design/claim", "echo 'what I will do' > steps/design/claim", "File exists"),
        ("set -C; echo mine > memory/leader", "set -C; echo mine > memory/leader", "existing file"),
        ("mkdir locks/db", "L=locks/db; mkdir $L && trap 'rmdir $L' EXIT", "File exists"),
    ],
)
def test_who_comes_second(mount: Mount, other: Mount, before: str, attempt: str, told: str) -> None:
    other.out(before)
    done = mount.sh(f"({attempt}) || echo failed")
    assert done.stdout == "failed\n"
    assert told in done.stderr
