"""A mount that mirrors the transcripts of coding agents, as a user would see it."""

import json
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.mounts import Mount, until

ID = "5ca1ab1e-0000-4000-8000-000000000001"
TRANSCRIPT = f"sessions/claude-code/{ID}/transcript.jsonl"
SECRET = "sk-ant-api03-" + "aB3d" * 12


class Claude:
    """Claude Code as far as its transcripts go."""

    def __init__(self, home: Path) -> None:
        self._folder = home / ".claude" / "projects" / "any"
        self._folder.mkdir(parents=True)
        self._home = home

    def path(self, session: str = ID) -> Path:
        return self._folder / f"{session}.jsonl"

    def says(self, text: str, session: str = ID, cwd: Path | None = None) -> str:
        line = {"type": "user", "sessionId": session, "cwd": str(cwd or self._home)}
        with self.path(session).open("a") as file:
            file.write(json.dumps(line | {"message": text}) + "\n")
        return self.path(session).read_text()


@pytest.fixture
def claude(home: Path) -> Claude:
    return Claude(home)


def shows(mount: Mount, text: str) -> bool:
    return mount.sh(f"cat {TRANSCRIPT}").stdout == text


def test_a_transcript_appears_goes_on_and_is_whole_after_the_mount(
    home: Path, claude: Claude
) -> None:
    """`--mirror` stores every complete line once, also what is new when the mount ends."""
    text = claude.says("one")
    with Mount(home, str(home / "store"), "designer", "--mirror", "claude-code") as mount:
        until(lambda: shows(mount, text), "the transcript")
        assert mount.out("ls sessions").split() == ["active", "claude-code"]
        told = f"claude-code/{ID}: idle; 1 lines, {len(text)} bytes; of {claude.path()}\n"
        until(lambda: mount.out("cat sessions/active") == told, "what is told of it")
        assert mount.sh("echo > sessions/active").returncode != 0
        text = claude.says("two")
        until(lambda: shows(mount, text), "what is new")
        text = claude.says("three")
        mount.end(signal.SIGTERM)
    with Mount(home, str(home / "store"), "developer") as after:
        assert shows(after, text)
        assert after.out("ls sessions").split() == ["claude-code"]
        assert json.loads(after.out(f"cat sessions/claude-code/{ID}/meta.json"))["agent_id"] == (
            "designer"
        )


def test_no_secret_leaves_and_only_what_ran_below_the_root(home: Path, claude: Claude) -> None:
    """Secrets are taken out before anything leaves this host; `--no-redact` leaves them in.

    Only what ran at `--mirror-root` or below is mirrored; with `--mirror-all`, wherever it ran.
    """
    claude.says(f"the key is {SECRET}")
    claude.says("elsewhere", "other", Path("/usr"))
    options = ("--mirror", "all", "--mirror-root", str(home))
    with Mount(home, str(home / "store"), "designer", *options) as mount:
        until(lambda: mount.sh(f"test -e {TRANSCRIPT}").returncode == 0, "the transcript")
        assert "[REDACTED:" in mount.out(f"cat {TRANSCRIPT}")
        assert SECRET not in mount.out("cat sessions/*/*/*.json*")
        assert mount.out("ls sessions/claude-code").split() == [ID]
    with Mount(
        *(home, str(home / "second"), "developer"),
        *("-o", "mirror=claude-code:codex,mirror_all,no_redact"),
    ) as mount:
        until(lambda: len(mount.sh("ls sessions/claude-code").stdout.split()) == 2, "both")
        until(lambda: shows(mount, claude.path().read_text()), "the transcript")


def test_two_mounts_that_mirror_the_same_store_every_line_once(home: Path, claude: Claude) -> None:
    """One owner mirrors a session, by a lease; others stand by, and take over when it ran out."""
    text = claude.says("one")
    store = str(home / "store")
    with (
        Mount(home, store, "designer", "--mirror", "claude-code") as mount,
        Mount(home, store, "developer", "--mirror", "claude-code") as other,
    ):
        until(lambda: shows(mount, text), "the transcript")
        for number in range(3):
            now = partial(shows, other, claude.says(f"more {number}"))
            until(now, "what is new")
        text = claude.path().read_text()
        states = mount.out("cat sessions/active") + other.out("cat sessions/active")
        assert states.count("idle;") + states.count("mirroring;") >= 1
        assert states.count("is mirrored by") <= 1
    meta = json.loads((home / "store" / "sessions" / "claude-code" / ID / "meta.json").read_text())
    assert meta["generation"] == 1
    assert meta["total_uploaded_bytes"] == len(text)
