"""Steps, `ready/` and leases by shell: what tree.md says that the tests of a subject leave out."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests import proxy
from tests.mounts import Mount, credentials, family, is_reading, until
from tests.proxy import Proxy
from tests.servers import Account

LEASE = 3  # seconds: the subject of a test here, which takes its time


@pytest.mark.parametrize("how", ["echo >", "set -C; echo >", "mkdir", "ln -s note", "exec 9>"])
def test_of_many_shells_one_wins(here: Mount, there: Mount, x: str, how: str) -> None:
    """A claim is won by one agent, whichever tool or host the others use: and by one of its
    shells."""
    name = "hold" if how == "exec 9>" else "claim"
    said = here.path.parent / f"{x}.said"
    said.touch()
    here.out(f"mkfifo ../{x}")
    end = os.open(here.path.parent / x, os.O_RDWR)
    # Whoever won has it until its input ends, which is when all have tried.
    won = f"{how} steps/{x}/{name} && echo 0 >> {said} && {{ read -r <&8; true; }}"
    attempt = f"( ({won}) || echo 1 >> {said} ) 2> /dev/null 8< ../{x}"
    script = f"for i in 1 2 3 4 5 6; do {attempt} & done; wait"
    with here.popen(script) as one, there.popen(script) as two:
        try:
            until(lambda: len(said.read_text().split()) == 12, "all to try", 20)
        finally:
            os.close(end)
        assert (one.wait(20), two.wait(20)) == (0, 0)
    assert sorted(said.read_text().split()) == ["0"] + 11 * ["1"]


@pytest.mark.parametrize("word", ["Complete", "BLOCKED", "Needs-Review", "needs_review", "failed"])
def test_words_that_finish(here: Mount, there: Mount, x: str, word: str) -> None:
    """A status is one of six words; case and `-` for `_` do not matter. Before a step is finished
    a handoff is stored, if there is none of this tenure."""
    here.out(f"echo first > steps/{x}/claim; echo '{word}' > steps/{x}/status")
    meant = word.lower().replace("-", "_")
    assert there.out(f"cat steps/{x}/status") == f"{meant}\n"
    record = json.loads(there.out(f"cat steps/{x}/handoff.json"))
    claim = json.loads(there.out(f"cat steps/{x}/claim.json"))
    assert (record["state"], record["claim"], record["note"]) == (meant, claim["id"], "")
    at = here.path.parent / "store" / "steps" / x
    assert (at / "handoff.json").stat().st_mtime_ns < (at / "status.json").stat().st_mtime_ns
    # Another tenure, another record; and one that was written is kept.
    here.out(f"echo Pending > steps/{x}/status; echo second > steps/{x}/claim")
    here.out(f"echo IN-PROGRESS > steps/{x}/status; echo note > steps/{x}/handoff")
    here.out(f"echo '{word}' > steps/{x}/status")
    record = json.loads(there.out(f"cat steps/{x}/handoff.json"))
    assert (record["state"], record["note"]) == (meant, "note")
    assert record["claim"] == json.loads(there.out(f"cat steps/{x}/claim.json"))["id"]


def test_a_word_that_is_none_and_one_that_needs_a_claim(here: Mount, there: Mount, x: str) -> None:
    """`in_progress` needs a claim of one's own: EPERM."""
    for word in ("done", "complete failed", "completed", "''"):
        assert "Invalid argument" in here.sh(f"echo {word} > steps/{x}/status").stderr
    assert "Operation not permitted" in here.sh(f"echo in_progress > steps/{x}/status").stderr
    assert f"claim first: echo > steps/{x}/claim" in here.errors()
    there.out(f"echo > steps/{x}/claim")
    assert "Operation not permitted" in here.sh(f"echo in_progress > steps/{x}/status").stderr
    there.out(f"echo complete > steps/{x}/status")
    for word in ("pending", "failed", "in_progress"):
        assert "Operation not permitted" in here.sh(f"echo {word} > steps/{x}/status").stderr, word


def test_what_is_the_header_of_a_handoff(here: Mount, there: Mount, x: str) -> None:
    """If all lines before a first blank line are `To:` or `Next:` lines, they are the header of a
    handoff; else all of it is note."""
    header = "To: developer\\nNext: deploy\\n\\nsee api.py\\n"
    for text, to, action, note in (
        (header, "developer", "deploy", "see api.py"),
        ("Next: deploy\\n\\nTo: x\\n", None, "deploy", "To: x"),
        ("To: developer\\nhello\\n\\nmore\\n", None, None, "To: developer\nhello\n\nmore"),
        ("hello\\n\\nTo: developer\\n", None, None, "hello\n\nTo: developer"),
    ):
        here.out(f"printf '{text}' > steps/{x}/handoff")
        found = json.loads(there.out(f"cat steps/{x}/handoff.json"))
        assert (found["next_agent"], found["next_action"], found["note"]) == (to, action, note)
        assert there.out(f"cat steps/{x}/handoff") == here.out(f"printf '{text}'")


@pytest.mark.parametrize("name", ["status", "handoff", "after", "notes.txt"])
def test_what_a_step_has_is_removed_by_whose_it_is(
    here: Mount, there: Mount, x: str, name: str
) -> None:
    """What else is in a step is changed by whoever holds or finished it, or by anybody if nobody
    does."""
    fill = f"cd steps/{x}; echo one > after; echo note > handoff; echo v > notes.txt"
    here.out(f"{fill}; echo > claim")
    for attempt in (f"rm steps/{x}/{name}", f"rm -r steps/{x}", f"rmdir steps/{x}"):
        assert "Operation not permitted" in there.sh(attempt).stderr, attempt
    for attempt in (f"mv steps/{x}/claim steps/{x}/moved", f"mv -T steps/{x} steps/{x}-2"):
        assert "Operation not permitted" in here.sh(attempt).stderr, attempt
    assert here.out(f"ls -U steps/{x} | tail -1") == "claim\n"
    here.out(f"rm steps/{x}/{name}")
    left = {"after", "handoff", "notes.txt", "status"} - ({name} if name != "status" else set())
    assert set(there.out(f"ls steps/{x}").split()) == left | {"claim", "owner"}
    here.out(f"rm steps/{x}/claim; echo v > steps/{x}/notes.txt")
    there.out(f"rm steps/{x}/notes.txt; rm -r steps/{x}; rmdir steps/{x}")
    assert x not in here.out("ls steps").split()


@pytest.mark.parametrize("name", ["claim", "hold"])
def test_a_step_that_is_removed_stays_away(here: Mount, x: str, name: str) -> None:
    """`rm -r` of a step that is yours, or nobody's, removes it."""
    script = f"exec 9> steps/{x}/{name}; rm -r steps/{x}; exec 9>&-; cat steps/{x}/status"
    assert here.out(script) == "pending\n"
    # Whoever takes it next comes after all that the mount still had to do.
    assert here.out(f"ls .tcfs/raw/steps | grep -x {x} || echo none") == "none\n"


def test_a_child_that_closes_hold_does_not_keep_it(here: Mount, there: Mount, x: str) -> None:
    """A child that closes the descriptor does not keep it: `cmd 9>&- &`."""
    script = f"exec 9> steps/{x}/hold; sleep 300 9>&- < /dev/null > /dev/null 2>&1 & echo $!"
    pid = here.out(f"{script}; cat steps/{x}/owner >&2").strip()
    try:
        until(lambda: there.out(f"cat steps/{x}/status") == "pending\n", "the step")
        assert (Path("/proc") / pid).exists()
    finally:
        here.out(f"kill {pid}")


def test_a_wait_ends_when_it_is_told_to(here: Mount, x: str) -> None:
    """A signal and `timeout` end a wait at once."""
    with here.popen(f"exec cat steps/{x}/wait") as waiting:
        until(lambda: any(is_reading(it, "wait") for it in family(waiting.pid)), "cat to block")
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(5) == -signal.SIGINT
    done = here.sh(f"timeout 0.2 cat steps/{x}/wait", timeout=5)
    assert (done.returncode, done.stdout) == (124, "")


def test_a_wait_for_nothing_names_what_may_be_meant(here: Mount, there: Mount, x: str) -> None:
    """A wait for a step with nothing in it goes on, and a line in `.tcfs/errors` names the nearest
    ids."""
    there.out(f"echo > steps/{x}-design/claim")
    with here.popen(f"exec timeout 20 cat steps/{x}-desing/wait") as waiting:
        told = f"waiting for a step with nothing in it; nearest: {x}-design"
        until(lambda: told in here.errors(), "the line", 10)
        there.out(f"echo complete > steps/{x}-desing/status")
        assert waiting.communicate(timeout=10)[0] == "complete\n"


def test_which_step_is_taken_is_random(home: Path) -> None:
    """Which of the ready steps is taken is random."""
    with Mount(home, str(home / "store"), "designer") as mount:
        mount.out("for i in {10..29}; do : > steps/$i/after; done")
        taken = mount.out("for i in {10..29}; do cat ready/take; done").split()
        assert mount.sh("timeout 0.2 cat ready/take").returncode == 124, "they are in progress"
    steps = [str(it) for it in range(10, 30)]
    assert sorted(taken) == steps
    assert taken not in (steps, steps[::-1])


# how long a claim lives


def test_leases_run_out_and_what_has_none_does_not(home: Path) -> None:
    """A lease that ran out reads as free; the next claimant takes it over, one generation on.
    With `--lease 0` claims and locks have none; what lives as long as a file is open has one all
    the same."""
    store = str(home / "store")
    with (
        Mount(home, store, "designer", "--lease", str(LEASE)) as one,
        Mount(home, store, "developer", "--lease", "0") as two,
    ):
        # Adding to one's note renews.
        one.out("echo one > steps/x/claim")
        first = json.loads(one.out("cat steps/x/claim.json"))["lease"]
        one.out("echo two >> steps/x/claim")
        second = json.loads(two.out("cat steps/x/claim.json"))["lease"]
        assert first["seconds"] == second["seconds"] == LEASE
        assert second["renewed_at"] > first["renewed_at"]
        until_line, blank, *note = two.out("tail -n +3 steps/x/claim").splitlines()
        assert until_line.startswith("lease until 20")
        assert (blank, note) == ("", ["one", "two"])
        # No lease, no end.
        two.out("echo > steps/forever/claim; mkdir locks/forever")
        for path in ("steps/forever/claim", "locks/forever"):
            assert json.loads(one.out(f"cat {path}.json"))["lease"] is None
        assert "lease" not in one.out("cat steps/forever/claim")
        held = two.out("exec 9> steps/held/hold; cat steps/held/claim.json; rm -r steps/held")
        assert json.loads(held)["lease"]["seconds"] > 0
        held = two.out("exec 9> locks/held; cat locks/held.json")
        assert json.loads(held)["lease"]["seconds"] > 0
        # Nobody renews; by all that shows, the step is free.
        one.out("mkdir locks/x")
        one.end(signal.SIGKILL)
        assert two.out("cat steps/x/status steps/x/owner") == "in_progress\ndesigner\n"
        until(lambda: two.sh("cat steps/x/owner").returncode == 1, "the lease to run out")
        for name in ("claim", "owner", "hold"):
            assert "No such file" in two.sh(f"cat steps/x/{name}").stderr
        assert "No such file" in two.sh("echo more >> steps/x/claim").stderr
        assert two.out("cat steps/x/status; ls ready; ls steps/x") == "pending\nx\nstatus\n"
        assert two.out("cat ready/take; cat steps/x/owner") == "x\ndeveloper\n"
        assert json.loads(two.out("cat steps/x/claim.json"))["generation"] == 2
        until(lambda: two.sh("mkdir locks/x").returncode == 0, "the lock")
        assert two.out("cat steps/forever/owner locks/forever/owner") == "developer\ndeveloper\n"


# outcomes that nobody was told


def test_a_claim_whose_answer_is_lost(home: Path, seaweed: Account, project: str) -> None:
    """A claim whose answer was lost is recognised as our own. A claim of unknown outcome is EIO,
    and is given back as soon as it shows."""
    lost = []

    def rule(request: proxy.Request) -> proxy.Answer | None:
        if request.method != "PUT" or not request.key.endswith("/claim.json"):
            return None
        if "/known/" in request.key and not lost:
            lost.append(request.forward())
            return proxy.Answer(500)
        return proxy.Answer(500) if "/unknown/" in request.key else None

    with Proxy(seaweed, rule) as service:
        account = service.account
        options = ("--endpoint", account.endpoint, "--deadline", "3")
        store = f"s3://{account.bucket}/{project}"
        with Mount(home, store, "me", *options, environment=credentials(account)) as mount:
            service.rules = (rule,)
            mount.out("echo mine > steps/known/claim")
            assert [it.status for it in lost] == [200]
            assert mount.out("cat steps/known/owner; tail -1 steps/known/claim") == "me\nmine\n"
            done = mount.sh("echo mine > steps/unknown/claim")
            assert done.returncode == 1
            assert "Input/output error" in done.stderr
            assert "/steps/unknown/claim EIO" in mount.errors()
            service.rules = ()
            until(lambda: mount.out("cat steps/unknown/status") == "pending\n", "giving it back")
            mount.out("echo > steps/unknown/claim")
