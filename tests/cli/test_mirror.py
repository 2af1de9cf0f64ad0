"""`tcfs mirror` and `tcfs session`, without a mount, on a store in a directory."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tcfs.cli._failure import Exit

Tcfs = Callable[..., "subprocess.CompletedProcess[str]"]
ID = "5ca1ab1e-0000-4000-8000-000000000001"
OTHER = "5ca1ab1e-0000-4000-8000-000000000002"
SECRET = "sk-ant-api03-" + "aB3d" * 12


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


class Claude:
    """Claude Code as far as its transcripts go."""

    def __init__(self, home: Path, work: Path) -> None:
        self._folder = home / ".claude" / "projects" / "any"
        self._folder.mkdir(parents=True)
        self.work = work

    def path(self, session: str) -> Path:
        return self._folder / f"{session}.jsonl"

    def says(self, text: str, session: str = ID, end: str = "\n") -> None:
        line = {"type": "user", "sessionId": session, "cwd": str(self.work), "message": text}
        with self.path(session).open("a") as file:
            file.write(json.dumps(line) + end)


@pytest.fixture
def claude(home: Path, work: Path) -> Claude:
    return Claude(home, work)


@pytest.fixture
def mirror(tcfs: Tcfs, store: Path) -> Callable[..., Any]:
    """Run `tcfs mirror`, which must succeed, and return its facts."""

    def run(*arguments: str | Path) -> Any:
        done = tcfs("mirror", "--store", store, "--json", *arguments)
        assert (done.returncode, done.stderr) == (Exit.DONE, "")
        return json.loads(done.stdout)

    return run


def transcript(store: Path, session: str = ID) -> str:
    """Return the transcript by what meta names."""
    folder = store / "sessions" / "claude-code" / session
    meta = json.loads((folder / "meta.json").read_text())
    names = [f"part-{it['seq']:05d}-{it['uuid']}.jsonl" for it in meta["parts"]]
    return "".join((folder / name).read_text() for name in names)


def test_a_transcript_is_stored_and_gone_on_with(
    mirror: Callable[..., Any], tcfs: Tcfs, claude: Claude, store: Path
) -> None:
    claude.says("one")
    (first,) = mirror()
    assert (first["session_id"], first["lines"], first["state"]) == (ID, 1, "idle")
    claude.says("two")
    claude.says("half a line", end="")
    (second,) = mirror()
    assert second["lines"] == 1
    claude.says(" and its end")
    mirror()
    assert transcript(store) == claude.path(ID).read_text()
    shown = tcfs("cat", "--store", store, f"sessions/claude-code/{ID}/transcript.jsonl")
    assert shown.stdout == claude.path(ID).read_text()


def test_the_newest_session_is_mirrored_or_the_one_named_or_all(
    mirror: Callable[..., Any], claude: Claude
) -> None:
    claude.says("old")
    os.utime(claude.path(ID), (1, 1))
    claude.says("new", OTHER)
    assert [it["session_id"] for it in mirror()] == [OTHER]
    assert [it["session_id"] for it in mirror("--session-id", ID)] == [ID]
    assert [it["session_id"] for it in mirror("--all")] == [ID, OTHER]


def test_only_what_ran_in_the_directory_is_mirrored(
    tcfs: Tcfs, mirror: Callable[..., Any], claude: Claude, store: Path, tmp_path: Path
) -> None:
    claude.says("one")
    elsewhere = tcfs("mirror", "--store", store, "--cwd", "/usr")
    assert elsewhere.returncode == Exit.FAILED
    assert "ran in /usr" in elsewhere.stderr
    assert "--cwd" in elsewhere.stderr
    assert [it["session_id"] for it in mirror("--cwd", tmp_path)] == [ID]


def test_secrets_are_taken_out_unless_asked_otherwise(
    mirror: Callable[..., Any], claude: Claude, store: Path
) -> None:
    claude.says(f"the key is {SECRET}")
    mirror()
    assert SECRET not in transcript(store)
    assert "[REDACTED:" in transcript(store)
    # Seen once, it is replaced ever after, in another process as well, and without its beginning.
    claude.says(f"again: {SECRET}")
    mirror()
    assert SECRET not in transcript(store)
    claude.says(f"plainly {SECRET}", OTHER)
    mirror("--session-id", OTHER, "--no-redact")
    assert SECRET in transcript(store, OTHER)


def test_what_the_store_is_reached_with_is_always_taken_out(
    tcfs: Tcfs, claude: Claude, store: Path
) -> None:
    secret = "correct horse battery"
    claude.says(f"it printed {secret}")
    done = tcfs("mirror", "--store", store, AWS_SECRET_ACCESS_KEY=secret)
    assert done.returncode == Exit.DONE
    assert secret not in transcript(store)


def test_any_json_lines_file_can_be_mirrored(
    mirror: Callable[..., Any], work: Path, store: Path
) -> None:
    log = work / "log.jsonl"
    log.write_text('{"a": 1}\n{"a": 2}\n')
    (done,) = mirror("--harness", "file", "--path", log)
    assert (done["harness"], done["lines"]) == ("file", 2)
    parts = list(store.glob("sessions/file/*/part-*"))
    assert [it.read_text() for it in parts] == [log.read_text()]


def test_following_goes_on_until_it_is_told_to_end(
    claude: Claude, store: Path, home: Path, work: Path
) -> None:
    command = [sys.executable, "-m", "tcfs.cli", "mirror", "--store", str(store), "--follow"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
    claude.says("one")
    with subprocess.Popen(
        [*command, "--interval", "0.1"],
        cwd=work,
        env=environment | {"HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        try:
            assert following.stdout is not None
            assert following.stdout.readline().endswith("Ctrl-C ends it\n")
            for text in ("two", "three"):
                claude.says(text)
                until(lambda: transcript(store) == claude.path(ID).read_text())
            claude.says("four")
            following.send_signal(signal.SIGTERM)
            assert following.wait(30) == Exit.DONE
        finally:
            following.kill()
        assert "4 lines" in following.stdout.read()
    assert transcript(store) == claude.path(ID).read_text()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; what it looks at may not be there yet."""
    end = time.monotonic() + 30
    while True:
        try:
            if condition():
                return
        except FileNotFoundError:
            pass
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--harness", "file"], "go together"),
        (["--path", "."], "see tcfs mirror --help"),
        (["--all", "--session-id", "x"], "exclude each other"),
        (["--min-bytes", "0"], "see tcfs mirror --help"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(tcfs: Tcfs, arguments: list[str], says: str) -> None:
    done = tcfs("mirror", *arguments)
    assert done.returncode == Exit.USAGE
    assert says in done.stderr


def test_a_harness_that_nobody_knows_is_told_with_those_that_are(tcfs: Tcfs, store: Path) -> None:
    done = tcfs("mirror", "--store", store, "--harness", "emacs")
    assert done.returncode == Exit.FAILED
    assert "claude-code" in done.stderr


# session


def test_sessions_are_listed_by_time_or_by_size(
    tcfs: Tcfs, mirror: Callable[..., Any], claude: Claude, store: Path
) -> None:
    assert "tcfs mirror" in tcfs("session", "list", "--store", store).stdout
    claude.says("a long one " * 10)
    mirror("--session-id", ID)
    claude.says("short", OTHER)
    mirror("--session-id", OTHER)

    def listed(*options: str) -> list[str]:
        done = tcfs("session", "list", "--store", store, "--json", *options)
        return [it["session_id"] for it in json.loads(done.stdout)]

    assert listed() == [OTHER, ID]
    assert listed("--sort-by", "size") == [ID, OTHER]
    assert listed("--limit", "1") == [OTHER]
    assert listed("--harness", "codex") == []
    rows = tcfs("session", "list", "--store", store).stdout.splitlines()
    assert [it.split()[0] for it in rows[1:]] == [f"claude-code/{OTHER}", f"claude-code/{ID}"]


def test_show_prints_meta_and_the_last_lines(
    tcfs: Tcfs, mirror: Callable[..., Any], claude: Claude, store: Path
) -> None:
    for text in ("one", "two", "three"):
        claude.says(text)
        mirror()
    shown = tcfs("session", "show", ID, "--tail", "2", "--store", store).stdout
    meta, _, tail = shown.partition("\n--- tail ---\n")
    assert json.loads(meta)["session_id"] == ID
    assert tail.splitlines() == claude.path(ID).read_text().splitlines()[-2:]
    by_path = tcfs("session", "show", f"claude-code/{ID}", "--tail", "9", "--store", store).stdout
    assert by_path.partition("\n--- tail ---\n")[2] == claude.path(ID).read_text()
    missing = tcfs("session", "show", "nope", "--store", store)
    assert missing.returncode == Exit.FAILED
    assert "tcfs session list" in missing.stderr


def test_sessions_are_merged_and_ended(
    tcfs: Tcfs, mirror: Callable[..., Any], claude: Claude, store: Path
) -> None:
    for text in ("one", "two", "three"):
        claude.says(text)
        mirror()
    done = tcfs("session", "compact", ID, "--keep-tail", "1", "--json", "--store", store)
    assert json.loads(done.stdout)["parts"] == 2
    assert (
        "nothing to merge"
        in tcfs(*("session", "compact", ID, "--keep-tail", "1", "--store", store)).stdout
    )
    assert transcript(store) == claude.path(ID).read_text()
    assert "is ended" in tcfs("session", "stop", ID, "--store", store).stdout
    assert "was ended before" in tcfs("session", "stop", ID, "--store", store).stdout
    claude.says("four")
    mirror()
    assert transcript(store) == claude.path(ID).read_text()
    listed = json.loads(tcfs("session", "list", "--json", "--store", store).stdout)
    assert [(it["parts"], it["ended_at"]) for it in listed] == [(3, None)]


# a mount


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--mirror-all"], "nothing is mirrored"),
        (["--no-redact"], "nothing is mirrored"),
        (["--mirror", "all", "--read-only"], "stores no transcripts"),
        (["--mirror", "all", "--mirror-all", "--mirror-root", "/"], "exclude each other"),
    ],
)
def test_a_mount_that_cannot_mean_what_it_is_asked_is_a_usage_error(
    tcfs: Tcfs, arguments: list[str], says: str, store: Path, tmp_path: Path
) -> None:
    done = tcfs("mount", store, tmp_path / "mnt", *arguments)
    assert done.returncode == Exit.USAGE
    assert says in done.stderr


def test_a_mount_knows_its_harnesses(tcfs: Tcfs, store: Path, tmp_path: Path) -> None:
    done = tcfs("mount", store, tmp_path / "mnt", "--mirror", "claude-code,emacs")
    assert done.returncode == Exit.FAILED
    assert "no harness 'emacs'" in done.stderr


def test_what_cannot_be_stored_is_told_once_and_fails(
    tcfs: Tcfs, claude: Claude, store: Path
) -> None:
    claude.says("one")
    meta = store / "sessions" / "claude-code" / ID / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text("junk")
    done = tcfs("mirror", "--store", store)
    assert done.returncode == Exit.FAILED
    assert done.stderr.startswith("tcfs: sessions/")
    assert "remove it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_what_another_mirrors_is_told_and_is_no_failure(
    mirror: Callable[..., Any], tcfs: Tcfs, claude: Claude, store: Path
) -> None:
    claude.says("one")
    mirror()
    meta = store / "sessions" / "claude-code" / ID / "meta.json"
    known = json.loads(meta.read_text())
    known["owner"] |= {"host": "elsewhere", "lease": {"seconds": 90, "renewed_at": "now"}}
    meta.write_text(json.dumps(known))
    claude.says("two")
    done = tcfs("mirror", "--store", store)
    assert done.returncode == Exit.DONE
    assert "on elsewhere; this mirror stands by" in done.stdout
    assert "two" not in transcript(store)
