"""Locks through real mounts, by both idioms: `mkdir` until `rmdir`, and a file while it is open.

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
LATE = 3.5  # seconds after which whoever asks again and again has it, `Date` telling whole ones


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


def shell(mount: Mount, script: str) -> "subprocess.Popen[str]":
    """Start a shell, and return when it has printed a line; it waits for another."""
    made = subprocess.Popen(
        ["bash", "-c", script],
        cwd=mount.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert made.stdout is not None
    assert made.stdout.readline(), "it could not begin"
    return made


def holding(mount: Mount, script: str = "") -> "subprocess.Popen[str]":
    """Start a shell that has lock x open until it is told a line."""
    return shell(mount, f"exec 9> locks/x || exit 3; {script} echo held; read -r")


def is_free(mount: Mount) -> bool:
    return mount.sh("[ -e locks/x ]").returncode == 1 and mount.out("ls locks") == ""


# mkdir, rmdir


def test_mkdir_takes_a_lock_and_rmdir_gives_it_back(mount: Mount, other: Mount) -> None:
    """`mkdir` takes a lock, `rmdir` gives it back, and `owner` names the holder. Whoever has a
    lock is told File exists by the next `mkdir`, as everybody is."""
    assert mount.sh("cat locks/x/owner").stderr.endswith("No such file or directory\n")
    mount.out("mkdir locks/x")
    for late in (other, mount):
        assert late.sh("mkdir locks/x").stderr.endswith("File exists\n")
        assert late.out("ls locks; ls locks/x; cat locks/x/owner") == "x\nowner\ndesigner\n"
    assert json.loads(other.out("cat locks/x.json"))["agent"] == "designer"
    for attempt in ("rmdir locks/x", "rm -r locks/x"):
        assert other.sh(attempt).stderr.endswith("Operation not permitted\n"), attempt
    assert "locks/x is held by designer, not by you" in other.errors()
    mount.out("rmdir locks/x")
    assert is_free(other)
    assert other.sh("rmdir locks/x").stderr.endswith("No such file or directory\n")
    other.out("mkdir locks/x")
    assert mount.out("cat locks/x/owner") == "developer\n"


def test_rm_r_and_trap_give_back_what_is_one_s_own(mount: Mount, other: Mount) -> None:
    """`rm -r` of one's own lock gives it back: `owner` is a view, and removing it does nothing."""
    mount.out("mkdir locks/x; rm locks/x/owner; cat locks/x/owner; rm -r locks/x")
    assert is_free(other)
    done = mount.sh("L=locks/x; mkdir $L || exit; trap 'rmdir $L' EXIT; ls locks; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, "x\n", "")
    assert is_free(other)
    mount.out("mkdir -m 700 locks/x && rmdir locks/x")


def test_one_of_many_shells_on_two_mounts_is_inside(mount: Mount, other: Mount) -> None:
    """A lock is won by one agent, whichever host the others use."""
    script = """
        for i in 1 2 3 4 5; do
            until mkdir locks/x 2> /dev/null; do :; done
            set -- $(cat memory/count 2> /dev/null || echo 0)
            echo $(($1 + 1)) > memory/count
            rmdir locks/x || exit 1
        done
    """
    shells = [it.popen(script) for it in (mount, other, mount, other)]
    for shell in shells:
        assert shell.communicate(timeout=60) == ("", "")
        assert shell.returncode == 0
    assert mount.out("cat memory/count") == "20\n"
    assert is_free(mount)


def test_every_agent_has_locks_of_its_own_copy(mount: Mount, other: Mount) -> None:
    mount.out("mkdir as/tester/locks/x")
    assert other.out("cat locks/x/owner; ls as/tester/locks") == "tester\nx\n"
    assert mount.sh("rmdir locks/x").stderr.endswith("Operation not permitted\n")
    mount.out("rmdir as/tester/locks/x")
    assert is_free(other)


# a file while it is open


def test_a_lock_is_held_while_its_file_is_open(mount: Mount, other: Mount) -> None:
    """`exec 9> locks/x` takes the lock for exactly as long as that descriptor lives; it is a file
    then, which names the holder. Held one way and tried the other is File exists, or Is a
    directory."""
    with holding(mount) as holder:
        for late in (other, mount):
            assert late.out("ls -F locks; cat locks/x") == "x\ndesigner\n"
            assert late.sh("exec 9> locks/x").stderr.endswith("locks/x: File exists\n")
            assert late.sh("mkdir locks/x").stderr.endswith("File exists\n")
            assert late.sh("rm locks/x").stderr.endswith("Operation not permitted\n")
            assert late.sh("rmdir locks/x").stderr.endswith("Not a directory\n")
        assert "locks/x is held by designer since" in other.errors()
        holder.communicate("bye\n", timeout=10)
    until(lambda: is_free(other), "the lock to be given back")
    other.out("mkdir locks/x")
    assert mount.sh("exec 9> locks/x").stderr.endswith("locks/x: Is a directory\n")


def test_kill_9_of_the_holder_gives_the_lock_back_at_once(mount: Mount, other: Mount) -> None:
    """`kill -9` of whoever has the lock open gives it back at once."""
    with holding(mount) as holder:
        assert other.out("cat locks/x") == "designer\n"
        holder.kill()
    until(lambda: is_free(other), "the lock to be given back")


def test_a_child_that_inherits_the_descriptor_keeps_the_lock(mount: Mount, other: Mount) -> None:
    """A child that inherits the descriptor keeps the lock."""
    with holding(mount, "sleep 300 < /dev/null > /dev/null &") as holder:
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        holder.kill()
    assert other.out("cat locks/x") == "designer\n"
    subprocess.run(["kill", *children], check=True)
    until(lambda: is_free(other), "the lock to be given back")


def test_who_closes_a_lock_can_take_it_again_at_once(mount: Mount, other: Mount) -> None:
    mount.out("for i in {1..100}; do exec 9> locks/x || exit 1; exec 9>&-; done")
    mount.out("for i in {1..100}; do (set -C; : > locks/x) && mkdir locks/x && rmdir locks/x; done")
    mount.out("exec 9> locks/x; exec 9>&-; [ ! -e locks/x ]")
    assert is_free(other)


# what is refused


@pytest.mark.parametrize(
    ("attempt", "told", "do"),
    [
        ("touch locks/x", "Operation not permitted", "mkdir locks/x"),
        ("ln -s me locks/x", "Operation not permitted", "mkdir locks/x"),
        ("echo me > locks/x", "Operation not permitted", "exec 9> locks/x"),
        ("echo me >> locks/x", "Operation not permitted", "mkdir locks/x until rmdir"),
        ("cp /etc/passwd locks/x", "Operation not permitted", "keeps no text"),
        ("f=$(mktemp); echo > $f; mv $f locks/x", "Operation not permitted", "keeps no text"),
        ("echo v > memory/k; mv memory/k locks/x", "Operation not permitted", "keeps no text"),
        ("flock locks/x true", "Operation not permitted", "flock sees this host only"),
        ("mkdir locks/x.json", "Operation not permitted", "without .json"),
        ("mkdir locks/_x", "Invalid argument", "may not begin with '_'"),
        ("echo > locks/.x", "Invalid argument", "may not begin with '.'"),
        ("mkdir locks/$(printf %201s | tr ' ' x)", "Invalid argument", "at most 200 bytes"),
    ],
)
def test_what_takes_no_lock_says_what_does(mount: Mount, attempt: str, told: str, do: str) -> None:
    """`touch`, `ln`, `mv`, `cp`, `flock` and `echo` take no lock: EPERM."""
    done = mount.sh(attempt)
    assert done.returncode != 0
    assert told in done.stderr
    assert do in mount.errors()
    until(lambda: is_free(mount), "nothing to be held")
    assert mount.out("cat memory/k 2> /dev/null || echo v") == "v\n", "what was not moved stays"


def test_what_is_held_cannot_seem_to_be_taken(mount: Mount, other: Mount) -> None:
    mount.out("mkdir locks/x")
    for attempt in ("touch locks/x", "mkdir locks/x", "ln -s a locks/x", "mv locks/x locks/y",
                    "exec 9> locks/x", "echo > locks/x/owner", "mkdir locks/x/y", "> locks/x/y",
                    "mv locks/x/owner locks/y", "truncate -s 0 locks/x"):  # fmt: skip
        for by in (mount, other):
            assert by.sh(attempt).returncode != 0, attempt
    assert other.out("ls locks locks/x; cat locks/x/owner") == (
        "locks:\nx\n\nlocks/x:\nowner\ndesigner\n"
    )
    mount.out("rmdir locks/x")
    with holding(mount) as holder:
        for attempt in ("touch locks/x", "touch -c locks/x", "> locks/x", "truncate -s 0 locks/x"):
            for by in (mount, other):
                assert by.sh(attempt).returncode != 0, attempt
        holder.kill()


# leases, and mounts that end


def test_the_next_mount_carries_on_and_gives_back_what_was_open(mount: Mount, other: Mount) -> None:
    """The next mount of an agent on a host carries on its locks, and gives back those of files."""
    mount.out("mkdir locks/kept")
    with holding(mount) as holder:
        mount.end(signal.SIGKILL)
        assert other.out("ls locks; cat locks/x") == "kept\nx\ndesigner\n"
        mount.start()
        until(lambda: other.out("ls locks") == "kept\n", "what was open to be given back")
        holder.kill()
    assert json.loads(other.out("cat locks/kept.json"))["generation"] == 1
    mount.out("rmdir locks/kept")
    assert other.out("ls locks") == ""


def test_a_mount_that_ends_gives_back_what_is_open(mount: Mount, other: Mount) -> None:
    with holding(mount) as holder:
        mount.end()
        until(lambda: is_free(other), "the lock to be given back")
        holder.kill()


def takes_in_the_end(mount: Mount) -> float:
    """Ask for the lock again and again, as a loop does; return when it was there."""
    mount.out("until mkdir locks/x 2> /dev/null; do :; done")
    return time.monotonic()


@pytest.mark.parametrize("way", ["mkdir locks/x", "exec 9> locks/x"])
def test_the_lock_of_a_mount_that_died_is_taken_when_its_lease_ran_out(
    pair: tuple[Mount, Mount], way: str
) -> None:
    """A lock whose lease ran out is taken over, one generation on; its former holder is refused."""
    one, two = pair
    before = time.monotonic()
    with shell(one, f"{way}; echo; read -r") as holder:
        after = time.monotonic()
        one.end(signal.SIGKILL)
        assert two.sh("mkdir locks/x").returncode == 1
        won = takes_in_the_end(two)
        holder.kill()
    assert before + LEASE <= won <= after + LEASE + LATE
    assert two.out("cat locks/x/owner") == "developer\n"
    assert json.loads(two.out("cat locks/x.json"))["generation"] == 2


def test_a_lock_lives_as_long_as_its_mount_whatever_the_agent_does(
    pair: tuple[Mount, Mount],
) -> None:
    """A lock taken through a mount has a lease, and that mount renews it every third of it."""
    one, two = pair
    one.out("mkdir locks/x")
    first = one.out("cat locks/x.json")
    until(lambda: one.out("cat locks/x.json") != first, "a renewal")
    end = time.monotonic() + 2 * LEASE
    while time.monotonic() < end:
        assert two.sh("mkdir locks/x").returncode == 1
    one.out("rmdir locks/x")
    assert is_free(two)


def test_a_stopped_mount_that_goes_on_is_refused_and_removes_nothing(
    pair: tuple[Mount, Mount],
) -> None:
    """A lock whose lease ran out is taken over, one generation on; its former holder is refused."""
    one, two = pair
    one.out("mkdir locks/x")
    # Started before, and told while the mount is stopped: it answers when it goes on.
    with (
        shell(one, "echo; read -r; rmdir locks/x") as remover,
        shell(one, "exec 9> locks/open; echo; read -r") as holder,
    ):
        one.process.send_signal(signal.SIGSTOP)
        try:
            remover.stdin.write("now\n")  # type: ignore[union-attr]  # it is a pipe
            remover.stdin.flush()  # type: ignore[union-attr]  # it is a pipe
            holder.kill()
            takes_in_the_end(two)
            two.out("until mkdir locks/open 2> /dev/null; do :; done")
            ids = [json.loads(two.out(f"cat locks/{it}.json"))["id"] for it in ("x", "open")]
        finally:
            one.process.send_signal(signal.SIGCONT)
        _, told = remover.communicate(timeout=60)
        assert remover.returncode == 1
    assert told.endswith("Operation not permitted\n")
    assert one.sh("rmdir locks/x").stderr.endswith("Operation not permitted\n")
    assert "held by developer, not by you" in one.errors()
    end = time.monotonic() + LEASE
    while time.monotonic() < end:
        assert ids == [json.loads(two.out(f"cat locks/{it}.json"))["id"] for it in ("x", "open")]
    two.out("rmdir locks/x locks/open")
