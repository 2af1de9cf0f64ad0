"""`tracecraft session list`, `show` and `compact` on what `tcfs mirror` stores; both in turn."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.interop.fleet import Fleet
from tests.interop.reference import inherited
from tests.interop.test_sessions import SECRET, Claude, line
from tests.mounts import PATIENCE, SOURCE, credentials

SESSIONS = "5ca1ab1e-1111-4000-8000-0000000000"


def tcfs(fleet: Fleet, *arguments: str) -> str:
    """Run our command line in the reference's home, on its project."""
    account = fleet.account
    store = ("--store", f"s3://{account.bucket}/{fleet.project}", "--endpoint", account.endpoint)
    environment = inherited() | credentials(account) | {"HOME": str(fleet.reference.home)}
    done = subprocess.run(
        [sys.executable, "-m", "tcfs.cli", *arguments, *store],
        cwd=fleet.reference.home,
        env=environment | {"PYTHONPATH": str(SOURCE)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, (arguments, done)
    return done.stdout


def we_mirror(fleet: Fleet, claude: Claude) -> None:
    harness = ("--harness", "claude-code", "--cwd", "/srv/app", "--session-id", claude.session)
    tcfs(fleet, "mirror", *harness)


def meta_of(fleet: Fleet, claude: Claude) -> Any:
    return json.loads(fleet.get(f"{claude.folder}/meta.json"))


def whole(fleet: Fleet, claude: Claude) -> str:
    return fleet.tree.out(f"cat {claude.folder}/transcript.jsonl")


@pytest.fixture
def claude(fleet: Fleet, request: pytest.FixtureRequest) -> Claude:
    digits = sum(request.node.name.encode()) % 100
    return Claude(fleet, f"{SESSIONS}{digits:02d}")


def test_reference_lists_and_shows_what_we_mirror(fleet: Fleet, claude: Claude) -> None:
    for number in range(3):
        claude.says(line(claude.session, number))
        we_mirror(fleet, claude)
    assert claude.shown() == claude.source.read_text().rstrip("\n")
    assert whole(fleet, claude) == claude.source.read_text()
    listed = fleet.reference.out("session", "list", "--limit", "1")
    size = f"{claude.source.stat().st_size:,}"
    assert listed.splitlines()[-1].split()[:4] == ["claude-code", "5ca1ab1e…", size, "3"]


def test_no_secret_leaves(fleet: Fleet, claude: Claude) -> None:
    claude.says(line(claude.session, 1, SECRET), line(claude.session, 2))
    we_mirror(fleet, claude)
    shown = whole(fleet, claude)
    assert SECRET not in shown
    assert "[REDACTED:" in shown
    assert meta_of(fleet, claude)["redaction_counts"] != {}


def test_we_go_on_after_the_reference_merged(fleet: Fleet, claude: Claude, newest: bool) -> None:
    for number in range(4):
        claude.says(line(claude.session, number))
        we_mirror(fleet, claude)
    if newest:  # the older one does not merge
        fleet.reference.out("session", "compact", claude.session, "--keep-tail", "1")
        assert len(meta_of(fleet, claude)["parts"]) == 2
    claude.says(line(claude.session, 4))
    we_mirror(fleet, claude)
    assert whole(fleet, claude) == claude.source.read_text()
    assert claude.shown() == claude.source.read_text().rstrip("\n")
    assert meta_of(fleet, claude)["generation"] == 1


def test_what_we_mirror_reads_the_same_while_the_reference_merges_it(
    fleet: Fleet, claude: Claude, newest: bool
) -> None:
    for number in range(5):
        claude.says(line(claude.session, number))
        we_mirror(fleet, claude)
    if not newest:
        assert "No such command" in fleet.reference.refusal("session", "compact", claude.session)
        return
    path = fleet.tree.path / claude.folder / "transcript.jsonl"
    for options, parts in ((("--keep-tail", "2"), 3), ((), 1)):
        with path.open("rb", buffering=0) as reader:
            begin = reader.read(10)
            fleet.reference.out("session", "compact", claude.session, *options)
            assert begin + reader.read() == claude.source.read_bytes()
        assert whole(fleet, claude) == claude.source.read_text()
        assert claude.shown() == claude.source.read_text().rstrip("\n")
        assert len(fleet.tree.out(f"ls {claude.folder}/parts").split()) == parts
        listed = tcfs(fleet, "session", "list", "--json")
        (row,) = (it for it in json.loads(listed) if it["session_id"] == claude.session)
        size = claude.source.stat().st_size
        assert (row["parts"], row["total_uploaded_bytes"]) == (parts, size)
        last = tcfs(fleet, "session", "show", claude.session, "--tail", "1")
        assert last.endswith(line(claude.session, 4))


def test_our_commands_work_on_what_the_reference_mirrors(fleet: Fleet, claude: Claude) -> None:
    for number in range(4):
        claude.says(line(claude.session, number))
        claude.mirror()
    listed = json.loads(tcfs(fleet, "session", "list", "--json"))
    assert [it["parts"] for it in listed if it["session_id"] == claude.session] == [4]
    shown = tcfs(fleet, "session", "show", claude.session, "--tail", "2")
    assert shown.endswith(line(claude.session, 2) + line(claude.session, 3))
    assert "4 parts are 2" in tcfs(fleet, "session", "compact", claude.session, "--keep-tail", "1")
    assert whole(fleet, claude) == claude.source.read_text()
    assert claude.shown() == claude.source.read_text().rstrip("\n")
    claude.says(line(claude.session, 4))
    claude.mirror()
    assert whole(fleet, claude) == claude.source.read_text()
    assert claude.shown() == claude.source.read_text().rstrip("\n")


def test_reference_shows_what_we_merged(fleet: Fleet, claude: Claude) -> None:
    for number in range(4):
        claude.says(line(claude.session, number))
        we_mirror(fleet, claude)
    assert "4 parts are 2" in tcfs(fleet, "session", "compact", claude.session, "--keep-tail", "1")
    assert claude.shown() == claude.source.read_text().rstrip("\n")
    assert whole(fleet, claude) == claude.source.read_text()


def test_we_go_on_with_a_session_that_the_reference_began(fleet: Fleet, claude: Claude) -> None:
    for number in range(2):
        claude.says(line(claude.session, number))
        claude.mirror()
    claude.says(line(claude.session, 2))
    we_mirror(fleet, claude)
    assert whole(fleet, claude) == claude.source.read_text()
    assert claude.shown() == claude.source.read_text().rstrip("\n")
    assert len(meta_of(fleet, claude)["parts"]) == 3


def test_a_session_that_both_mirror_is_shown_once(fleet: Fleet, claude: Claude) -> None:
    """What the reference began or merged is gone on with; where it does not add up, the source is
    stored anew.
    """
    claude.says(line(claude.session, 0))
    we_mirror(fleet, claude)
    claude.mirror()  # it does not know what is stored, and begins at 0
    claude.says(line(claude.session, 1))
    we_mirror(fleet, claude)
    assert whole(fleet, claude) == claude.source.read_text()


def test_stop_tells_the_reference_that_it_ended(fleet: Fleet, claude: Claude) -> None:
    claude.says(line(claude.session, 0))
    we_mirror(fleet, claude)
    tcfs(fleet, "session", "stop", claude.session)
    assert '"ended_at": "' in fleet.reference.out("session", "show", claude.session)
