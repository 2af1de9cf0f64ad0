"""Claims that end by themselves: with their lease, or with the file that holds them.

A lease of five seconds is the subject here, and takes its time.
"""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounts import Mount, credentials, until
from tests.servers import Account

LEASE = 5  # seconds
LATE = 2.0  # seconds after which whoever asks again and again has it: issue of take-over
DOUBT = 1.5  # seconds: `Date` tells whole ones, and clocks drift


@pytest.fixture
def pair(home: Path, seaweed: Account, project: str) -> Iterator[tuple[Mount, Mount]]:
    """Yield two mounts of a project on a real server, with leases of five seconds."""
    store = f"s3://{seaweed.bucket}/{project}"
    options = ("--endpoint", seaweed.endpoint, "--lease", str(LEASE))
    environment = credentials(seaweed)
    with (
        Mount(home, store, "designer", *options, environment=environment) as one,
        Mount(home, store, "developer", *options, environment=environment) as two,
    ):
        yield one, two


def claims_in_the_end(mount: Mount) -> float:
    """Ask for the claim again and again, as a loop does; return when it was there."""
    mount.out("until echo mine 2> /dev/null > steps/x/claim; do :; done")
    return time.monotonic()


def _when_told(mount: Mount, script: str) -> "subprocess.Popen[str]":
    """Start a shell that runs a script when its input is closed."""
    return subprocess.Popen(
        ["bash", "-c", f"read -r; {script}"],
        cwd=mount.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def generation(mount: Mount) -> int:
    number = json.loads(mount.out("cat steps/x/claim.json"))["generation"]
    assert isinstance(number, int)
    return number


def test_the_claim_of_a_mount_that_died_is_taken_when_its_lease_ran_out(
    pair: tuple[Mount, Mount],
) -> None:
    """A lease that ran out reads as free; the next claimant takes it over, one generation on."""
    one, two = pair
    before = time.monotonic()
    one.out("echo > steps/x/claim")
    after = time.monotonic()
    one.end(signal.SIGKILL)
    assert two.sh("echo > steps/x/claim").returncode == 1
    won = claims_in_the_end(two)
    assert won >= before + LEASE
    assert won <= after + LEASE + LATE + DOUBT
    assert two.out("cat steps/x/owner") == "developer\n"
    assert generation(two) == 2


def test_a_claim_lives_as_long_as_its_mount_whatever_the_agent_does(
    pair: tuple[Mount, Mount],
) -> None:
    """A claim made through a mount has a lease, and that mount renews it every third of it."""
    one, two = pair
    one.out("echo note > steps/x/claim")
    first = one.out("cat steps/x/claim.json")
    until(lambda: one.out("cat steps/x/claim.json") != first, "a renewal")
    end = time.monotonic() + 2 * LEASE
    while time.monotonic() < end:
        assert two.sh("echo > steps/x/claim").returncode == 1
    assert generation(two) == 1
    assert two.out("tail -n 1 steps/x/claim") == "note\n"


WRITES = [
    "echo complete > steps/x/status",
    "echo failed > steps/x/status",
    "echo note > steps/x/handoff",
    "rm steps/x/claim",
    "echo more >> steps/x/claim",
    "echo pending > steps/x/status",
    "echo text > steps/x/notes",
]


def test_a_stopped_mount_that_goes_on_is_refused_and_changes_nothing(
    pair: tuple[Mount, Mount],
) -> None:
    """The former holder's writes are refused: its tenure has ended."""
    one, two = pair
    one.out("echo > steps/x/claim")
    # Started before, and asked while the mount is stopped: it answers when it goes on.
    under_way = [_when_told(one, write) for write in WRITES]
    one.process.send_signal(signal.SIGSTOP)
    try:
        for process in under_way:
            process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
        claims_in_the_end(two)
        two.out("echo ours > steps/x/handoff")
        before = two.out("cat steps/x/{claim,status,handoff}.json; ls steps/x")
    finally:
        one.process.send_signal(signal.SIGCONT)
    for write, process in zip(WRITES, under_way, strict=True):
        with process:
            assert process.stderr is not None
            told = process.stderr.read()
            assert process.wait(60) == 1, write
        assert "Operation not permitted" in told or "No such file" in told, (write, told)
    for write in WRITES:
        assert one.sh(write).returncode == 1, write
    now = two.out("cat steps/x/{claim,status,handoff}.json; ls steps/x")
    renewed = ("nonce", "renewed_at")
    assert [it for it in now.splitlines() if not any(word in it for word in renewed)] == [
        it for it in before.splitlines() if not any(word in it for word in renewed)
    ]
    assert "no longer yours: steps/x is held by developer" in one.errors()


def test_a_note_is_not_added_to_a_claim_that_ran_out(pair: tuple[Mount, Mount]) -> None:
    """`>> claim` adds to one's own note and renews the lease; it never claims."""
    one, two = pair
    one.out("echo note > steps/x/claim")
    two.out("echo more >> as/designer/steps/x/claim")
    assert two.out("tail -n 2 steps/x/claim") == "note\nmore\n"
    one.end(signal.SIGKILL)
    until(lambda: two.sh("test -e steps/x/claim").returncode == 1, "the end of the lease")
    before = two.out("cat steps/x/claim.json")
    done = two.sh("echo late >> as/designer/steps/x/claim")
    assert (done.returncode, "No such file" in done.stderr) == (1, True), done.stderr
    assert two.out("cat steps/x/status; cat steps/x/claim.json") == f"pending\n{before}"
    assert two.out("echo > steps/x/claim; cat steps/x/owner") == "developer\n"


def test_a_finished_step_is_never_taken_over(pair: tuple[Mount, Mount]) -> None:
    """A final state is never taken over, whatever the lease, whoever finished it."""
    one, two = pair
    one.out("echo > steps/x/claim; echo needs_review > steps/x/status")
    one.end(signal.SIGKILL)
    end = time.monotonic() + LEASE + LATE
    while time.monotonic() < end:
        assert two.sh("echo > steps/x/claim").returncode == 1
    assert two.out("cat steps/x/owner") == "designer\n"


def test_a_mount_that_comes_back_carries_on(pair: tuple[Mount, Mount]) -> None:
    """A mount that comes back in time carries on: the claim is its agent's still."""
    one, two = pair
    one.out("echo note > steps/x/claim")
    one.end(signal.SIGKILL)
    one.start()
    end = time.monotonic() + 2 * LEASE
    while time.monotonic() < end:
        assert two.sh("echo > steps/x/claim").returncode == 1
    one.out("echo complete > steps/x/status")
    assert two.out("cat steps/x/status steps/x/owner") == "complete\ndesigner\n"


# hold


def test_hold_lives_as_long_as_the_descriptor(mount: Mount, other: Mount) -> None:
    """`exec 9> hold` claims the step for as long as the file is open."""
    with _holding(mount) as holder:
        assert other.out("cat steps/x/owner steps/x/status") == "designer\nin_progress\n"
        assert other.sh("exec 9> steps/x/hold").returncode == 1
        assert "File exists" in other.sh("exec 9> steps/x/hold").stderr
        assert "File exists" in mount.sh("exec 9> steps/x/hold").stderr
        assert "File exists" in other.sh("echo > steps/x/claim").stderr
        assert "hold" not in other.out("ls -a steps/x").split()
        holder.stdin.write("bye\n")  # type: ignore[union-attr]  # it is a pipe
        holder.stdin.flush()  # type: ignore[union-attr]
        assert holder.wait(10) == 0
    until(lambda: other.out("cat steps/x/status") == "pending\n", "the step to be given back")
    other.out("echo > steps/x/claim")


def _holding(mount: Mount, script: str = "") -> "subprocess.Popen[str]":
    """Start a shell that holds step x until it is told a line."""
    holder = subprocess.Popen(
        ["bash", "-c", f"exec 9> steps/x/hold || exit 3; {script} echo held; read -r"],
        cwd=mount.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_hold_goes_with_a_process_that_is_killed(mount: Mount, other: Mount) -> None:
    """A claim that dies with its process: `kill -9` gives the step back at once."""
    with _holding(mount) as holder:
        assert other.out("cat steps/x/owner") == "designer\n"
        holder.kill()
    until(lambda: other.out("cat steps/x/status") == "pending\n", "the step to be given back")


def test_a_child_that_inherits_hold_keeps_it(mount: Mount, other: Mount) -> None:
    """Children that inherit the descriptor keep it."""
    with _holding(mount, "sleep 300 < /dev/null > /dev/null &") as holder:
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        holder.kill()
    assert other.out("cat steps/x/owner") == "designer\n"
    subprocess.run(["kill", *children], check=True)
    until(lambda: other.out("cat steps/x/status") == "pending\n", "the step to be given back")


def test_a_step_finished_while_held_stays_finished(mount: Mount, other: Mount) -> None:
    mount.out("exec 9> steps/x/hold; echo complete > steps/x/status")
    assert other.out("cat steps/x/status steps/x/owner") == "complete\ndesigner\n"


def test_hold_takes_on_one_s_own_claim(mount: Mount, other: Mount) -> None:
    """`hold` takes on the claim its agent has already, and its note stays."""
    mount.out("echo note > steps/x/claim")
    with _holding(mount) as holder:
        assert other.out("tail -n 1 steps/x/claim") == "note\n"
        holder.kill()
    until(lambda: other.out("cat steps/x/status") == "pending\n", "the step to be given back")


def test_a_note_written_to_hold_is_the_claim_s(mount: Mount, other: Mount) -> None:
    with _holding(mount, "echo 'on it' >&9;") as holder:
        assert other.out("tail -n 1 steps/x/claim") == "on it\n"
        holder.kill()


def test_what_a_killed_mount_s_processes_held_is_given_back_by_the_next(
    mount: Mount, other: Mount
) -> None:
    with _holding(mount) as holder:
        mount.end(signal.SIGKILL)
        assert other.out("cat steps/x/owner") == "designer\n"
        mount.start()
        until(lambda: other.out("cat steps/x/status") == "pending\n", "it to be given back")
        holder.kill()


def test_hold_cannot_be_removed_renamed_or_touched(mount: Mount) -> None:
    with _holding(mount) as holder:
        for attempt in ("rm -f steps/x/hold", "mv steps/x/hold steps/x/h", "touch steps/x/hold"):
            assert mount.sh(attempt).returncode == 1, attempt
        holder.kill()
