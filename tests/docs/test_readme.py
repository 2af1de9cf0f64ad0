"""Every command in README.md, run as a reader would."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounts import SOURCE, Mount, credentials, until
from tests.servers import Account

README = (SOURCE / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tcfs-", ignore_cleanup_errors=True) as path:
        yield Path(path)


def test_the_session_runs_as_it_is_shown(home: Path) -> None:
    (session,) = blocks("console")
    with (
        Mount(home, str(home / "store"), "designer") as designer,
        Mount(home, str(home / "store"), "developer") as developer,
    ):
        mounts = {"designer": designer, "developer": developer}
        shown = ""
        for line in session.splitlines():
            prompt = re.match(r"(designer|developer)\$ (.*)", line)
            if prompt:
                shown += line + "\n"
                done = mounts[prompt[1]].sh(prompt[2])
                shown += done.stdout + done.stderr
    assert shown == session


def test_the_mounting_commands_work(home: Path, seaweed: Account, project: str) -> None:
    """The commands as they stand, but for where the server, the bucket and the home are."""
    (block,) = (it for it in blocks("sh") if "tcfs init" in it)
    replaced = {
        "http://127.0.0.1:8333": seaweed.endpoint,
        "--bucket agents --project shop": f"--bucket {seaweed.bucket} --project {project}",
        "s3://agents/shop": f"s3://{seaweed.bucket}/{project}",
        "/srv/agents": f"{home}/srv",
        ".venv/bin/tcfs": f"{shlex.quote(sys.executable)} -m tcfs.cli",
    }
    environment = {
        **{k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"},
        **credentials(seaweed),
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "PYTHONPATH": str(SOURCE),
    }

    def run(command: str) -> str:
        for old, new in replaced.items():
            command = command.replace(old, new)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    mounted = []
    try:
        for line in block.splitlines():
            # Its default mount point is this machine's; the test's is its own.
            here = line.partition("#")[0].strip()
            if "--agent designer" in here:
                here = here.replace("mount", f"mount s3://{seaweed.bucket}/{project} {home}/first")
                here += f" --endpoint {seaweed.endpoint}"
            said = run(here)
            if " mount" in here:
                path = re.search(r" at (\S+) as agent", said)
                assert path, said
                mounted.append(path[1])
            if "status" in here:
                assert "  designer " in said
                assert "  developer " in said
        assert len(mounted) == 3
    finally:
        for path in mounted:
            if os.path.ismount(path):
                run(f"{sys.executable} -m tcfs.cli umount {path}")


def test_the_commands_without_a_mount_work(home: Path) -> None:
    (block,) = (it for it in blocks("sh") if "tcfs put" in it)
    inherited = {k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"}
    environment = {**inherited, "HOME": str(home), "PYTHONPATH": str(SOURCE)}

    def run(line: str) -> "subprocess.CompletedProcess[str]":
        tcfs = f'tcfs() {{ {shlex.quote(sys.executable)} -m tcfs.cli "$@"; }}; '
        return subprocess.run(
            ["bash", "-c", tcfs + line],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    for agent in ("developer", "designer"):
        assert run(f"tcfs init --backend file --agent {agent}").returncode == 0
    for line in block.splitlines():
        done = run(line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert done.stdout == "complete: design\nTo: developer\n\nAPI is in api.py\n"
    again = run(block.splitlines()[0])
    assert (again.returncode, "finished by designer" in again.stderr) == (1, True)


def test_the_mirroring_commands_work(home: Path) -> None:
    (block,) = (it for it in blocks("sh") if "tcfs mirror" in it)
    ours = ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "TRACECRAFT_AGENT")
    inherited = {k: v for k, v in os.environ.items() if k not in ours}
    environment = {**inherited, "HOME": str(home), "PYTHONPATH": str(SOURCE)}
    source = home / ".claude" / "projects" / "any" / "5ca1ab1e.jsonl"
    source.parent.mkdir(parents=True)
    source.write_text(f'{{"type": "user", "cwd": "{home}", "text": "hello"}}\n')

    def run(line: str) -> str:
        tcfs = f'tcfs() {{ {shlex.quote(sys.executable)} -m tcfs.cli "$@"; }}; '
        done = subprocess.run(
            ["bash", "-c", tcfs + line],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout

    run(f"tcfs init --backend file --bucket {home}/srv --project shop --agent designer")
    said = {}
    active = home / "mnt" / "sessions" / "active"
    try:
        for line in block.splitlines():
            command = line.partition("#")[0].strip()
            # Its default mount point is this machine's; the test's is its own.
            here = command.replace("tcfs mount", f"tcfs mount {home}/srv/shop {home}/mnt")
            said[command] = run(here.replace("ID", "5ca1ab1e"))
            if "mount" in command:
                until(lambda: "5ca1ab1e: idle; 1 lines" in active.read_text(), "the transcript")
    finally:
        if os.path.ismount(home / "mnt"):
            run(f"tcfs umount {home}/mnt")
    assert "claude-code/5ca1ab1e" in said["tcfs session list"]
    assert '"text": "hello"' in said["tcfs session show ID --tail 20"]
    assert said["tcfs session stop ID"] == "sessions/claude-code/5ca1ab1e is ended\n"


def test_every_path_of_the_table_is_there(home: Path) -> None:
    rows = [line for line in README.splitlines() if line.startswith("| `")]
    assert len(rows) > 10
    session = home / "store" / "sessions" / "HARNESS" / "ID"
    session.mkdir(parents=True)
    (session / "meta.json").write_text("{}")  # of a session that nobody mirrors here
    with Mount(home, str(home / "store"), "AGENT") as mount:
        mount.out("echo v > memory/KEY; echo x > steps/ID/after; mkdir locks/NAME")
        mount.out("echo > steps/ID/claim; echo n > steps/ID/handoff")
        for row in rows:
            first, *others = re.findall(r"`([^`]+)`", row.split("|")[1])
            folder = first.rpartition("/")[0]
            for path in (first, *(f"{folder}/{it}".lstrip("/") for it in others)):
                assert mount.sh(f"[ -e {path} ]").returncode == 0, path
