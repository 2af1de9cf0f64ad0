"""Claims through a real mount, by every verb that makes a file."""

import json
import signal

import pytest

from tests.mounts import Mount, until


def test_echo_claims_and_the_next_echo_is_told_file_exists(mount: Mount, other: Mount) -> None:
    """One value a file: it prints the value and a newline, nothing else. A refusal has a line
    in `.tcfs/errors` that says what to do."""
    assert mount.sh("echo 'on the API' > steps/design/claim").returncode == 0
    lost = other.sh("echo 'me too' > steps/design/claim")
    assert lost.returncode == 1
    assert lost.stderr == "bash: line 1: steps/design/claim: File exists\n"
    assert "steps/design is held by designer" in other.errors()
    assert other.out("cat steps/design/owner") == "designer\n"
    assert other.out("cat steps/design/status") == "in_progress\n"
    who, claimed, lease, blank, note = other.out("cat steps/design/claim").splitlines()
    assert who == "designer"
    assert claimed.startswith("claimed 20")
    assert lease.startswith("lease until 20")
    assert (blank, note) == ("", "on the API")


@pytest.mark.parametrize(
    "verb",
    [
        "> steps/x/claim",
        ": > steps/x/claim",
        "echo note > steps/x/claim",
        "touch steps/x/claim",
        "cp /etc/hostname steps/x/claim",
        "ln -s note steps/x/claim",
        "mkdir steps/x/claim",
        "set -C; echo note > steps/x/claim",
        "f=$(mktemp); echo note > $f; mv $f steps/x/claim",
        "echo note > steps/x/draft && mv steps/x/draft steps/x/claim",
        "python3 -c \"open('steps/x/claim', 'x').write('note')\"",
    ],
)
def test_every_verb_claims_once(mount: Mount, other: Mount, verb: str) -> None:
    """A claim is won by one agent, whichever tool or host the others use."""
    assert mount.sh(verb).returncode == 0, mount.log
    assert other.out("cat steps/x/owner") == "designer\n"
    assert other.sh(verb).returncode != 0
    again = mount.sh(verb)
    # `>>` by the holder adds to its own note. `mv` from another file system removes what is there
    # first, and so gives back and claims again; everything else is a claim, and that one lost.
    assert (again.returncode == 0) == (">>" in verb or "mktemp" in verb), again.stderr
    assert other.out("cat steps/x/owner") == "designer\n"


def test_touch_by_the_holder_fails_too(mount: Mount) -> None:
    """Whoever has a claim is told File exists by the next one, as everybody is."""
    done = mount.sh("touch steps/x/claim && echo won; touch steps/x/claim && echo won")
    assert done.stdout == "won\n"
    assert done.stderr == "touch: cannot touch 'steps/x/claim': File exists\n"


def test_the_holder_gives_back_by_rm_and_only_the_holder(mount: Mount, other: Mount) -> None:
    """The generation of a step only rises."""
    mount.out("echo > steps/x/claim")
    refused = other.sh("rm -f steps/x/claim")
    assert "Operation not permitted" in refused.stderr
    mount.out("rm steps/x/claim")
    assert other.out("cat steps/x/status; ls steps/x") == "pending\nstatus\n"
    other.out("echo mine > steps/x/claim")
    claim = json.loads(mount.out("cat steps/x/claim.json"))
    assert (claim["agent"], claim["generation"]) == ("developer", 2)


def test_the_holder_adds_to_the_note(mount: Mount, other: Mount) -> None:
    """`>> claim` adds to one's own note and renews the lease; it never claims."""
    assert "No such file" in mount.sh("echo one >> steps/x/claim").stderr
    assert "claim it: > /steps/x/claim" in mount.errors()
    mount.out("echo one > steps/x/claim; echo two >> steps/x/claim")
    assert other.out("cat steps/x/claim").endswith("\n\none\ntwo\n")
    assert "Operation not permitted" in other.sh("echo three >> steps/x/claim").stderr


def test_a_note_that_is_another_agents_id_undoes_the_claim(mount: Mount, other: Mount) -> None:
    done = mount.sh("echo developer > steps/x/claim")
    assert done.returncode == 1
    assert "Operation not permitted" in done.stderr
    assert mount.out("cat steps/x/status") == "pending\n"
    assert "as/developer/steps/x/claim" in mount.errors()


def test_finishing_hands_off_and_wakes_who_waits(mount: Mount, other: Mount) -> None:
    """A finished step cannot be claimed; who finished it reopens it with `pending`."""
    mount.out("echo > steps/x/claim")
    mount.out("printf 'To: developer\\nNext: deploy\\n\\nsee api.py\\n' > steps/x/handoff")
    with other.popen("cat steps/x/wait") as waiting:
        mount.out("echo Complete > steps/x/status")
        assert waiting.communicate(timeout=10)[0] == "complete\n"
    assert other.out("cat steps/x/status steps/x/owner") == "complete\ndesigner\n"
    assert other.out("cat steps/x/handoff") == "To: developer\nNext: deploy\n\nsee api.py\n"
    handoff = json.loads(other.out("cat steps/x/handoff.json"))
    assert (handoff["next_agent"], handoff["next_action"]) == ("developer", "deploy")
    assert other.sh("echo > steps/x/claim").returncode == 1
    assert mount.sh("echo > steps/x/claim").returncode == 1
    mount.out("echo pending > steps/x/status")
    other.out("echo > steps/x/claim")


def test_finishing_what_nobody_claimed_claims_it_on_the_way(mount: Mount, other: Mount) -> None:
    """Finishing what nobody holds claims it on the way."""
    mount.out("echo needs-review > steps/x/status")
    assert other.out("cat steps/x/status steps/x/owner") == "needs_review\ndesigner\n"
    assert json.loads(other.out("cat steps/x/claim.json"))["result"] == "needs_review"


def test_a_note_written_before_the_claim_is_handed_on(mount: Mount, other: Mount) -> None:
    mount.out("echo 'see api.py' > steps/x/handoff; echo complete > steps/x/status")
    assert other.out("cat steps/x/handoff steps/x/status") == "see api.py\ncomplete\n"
    assert json.loads(other.out("cat steps/x/handoff.json"))["state"] == "complete"


def test_a_wait_for_what_will_not_complete_ends(mount: Mount, other: Mount) -> None:
    with other.popen("cat steps/x/wait") as waiting:
        mount.out("echo blocked > steps/x/status")
        _, said = waiting.communicate(timeout=10)
    assert "Operation canceled" in said
    assert "it will not complete" in other.errors()


def test_status_refuses_what_is_not_meant(mount: Mount, other: Mount) -> None:
    assert "Invalid argument" in mount.sh("echo finished > steps/x/status").stderr
    assert "Operation not permitted" in mount.sh("echo in_progress > steps/x/status").stderr
    assert "claim first: echo > steps/x/claim" in mount.errors()
    other.out("echo > steps/x/claim")
    refused = mount.sh("echo complete > steps/x/status")
    assert refused.returncode == 1
    assert "Operation not permitted" in refused.stderr


def test_steps_answer_by_name_before_anything_is_stored(mount: Mount) -> None:
    """A valid step id is a directory before anything is stored there. Another spelling of a
    step id is a symbolic link to the folded one."""
    assert "File exists" in mount.sh("mkdir steps/x").stderr
    assert mount.out("mkdir -p steps/x; [ -d steps/x ] && echo yes; ls steps") == "yes\n"
    assert mount.out("cat steps/x/status") == "pending\n"
    assert mount.out("echo > steps/S1.A/claim; ls steps; readlink steps/S1.A") == "s1-a\ns1-a\n"


def test_plain_files_are_kept_with_a_step(mount: Mount, other: Mount) -> None:
    """`rm -r` of a step that is yours, or nobody's, removes it. A file that blocks is not
    listed."""
    mount.out("echo > steps/x/claim; seq 100000 > steps/x/numbers.txt")
    assert other.out("wc -l < steps/x/numbers.txt") == "100000\n"
    assert other.out("ls steps/x") == "claim\nnumbers.txt\nowner\nstatus\n"
    assert "Operation not permitted" in other.sh("echo > steps/x/mine").stderr
    mount.out("rm -r steps/x")
    assert other.out("ls steps") == ""


def test_a_step_cannot_be_renamed(mount: Mount) -> None:
    mount.out("echo > steps/a/claim")
    refused = mount.sh("mv -T steps/a memory/a")
    assert "Operation not permitted" in refused.stderr
    assert mount.out("cat steps/a/owner") == "designer\n"


def test_a_claim_outlives_a_killed_mount(mount: Mount, other: Mount) -> None:
    mount.out("echo > steps/x/claim")
    mount.end(signal.SIGKILL)
    assert other.out("cat steps/x/owner") == "designer\n"
    mount.start()
    mount.out("echo complete > steps/x/status")
    until(lambda: other.out("cat steps/x/status") == "complete\n", "the status")


def test_acting_by_path_and_by_environment(mount: Mount) -> None:
    """`as/<agent>/` decides who acts, else `TRACECRAFT_AGENT` in the environment of the opening
    process, else the mount."""
    mount.out("echo > as/tester/steps/x/claim")
    assert mount.out("cat steps/x/owner as/tester/.tcfs/agent").startswith("tester\ntester\n")
    done = mount.sh("echo > steps/y/claim", TRACECRAFT_AGENT="reviewer")
    assert done.returncode == 0
    assert mount.out("cat steps/y/owner") == "reviewer\n"
    until(lambda: "reviewer\ntester" in mount.out("ls agents"), "both to be registered")
    # An export reaches no redirection of the shell that makes it; `.tcfs/agent` says so.
    script = "export TRACECRAFT_AGENT=late; echo > steps/z/claim; cat steps/z/owner .tcfs/agent"
    owner, told, how, warning = mount.out(script).splitlines()
    assert (owner, told) == ("designer", "late")
    assert "TRACECRAFT_AGENT" in how
    assert warning.startswith("warning: ")
    assert "as/late" in warning
