"""Lines that people and agents write without having read a word, and what comes of each."""

import pytest

from tests.mounts import Mount

REFUSED = {
    "touch steps/x/claim && touch steps/x/claim": "'steps/x/claim': File exists",
    "echo developer > steps/x/claim": "write error: Operation not permitted",
    "echo in_progress > steps/x/status": "write error: Operation not permitted",
    "mkdir steps/x": "mkdir: cannot create directory 'steps/x': File exists",
    "echo hi >> messages/develper/inbox": "messages/develper/inbox: No such file or directory",
    "echo hi >> messages/developer": "messages/developer: Is a directory",
    "touch ../.env; cp ../.env memory/": "'memory/.env': Invalid argument",
    "echo > steps/a/claim; mv steps/a steps/b": "Operation not permitted",
}


@pytest.mark.parametrize("line", REFUSED)
def test_it_is_refused(mount: Mount, other: Mount, line: str) -> None:
    """A refusal has a line in `.tcfs/errors` that says what to do."""
    done = mount.sh(line, LC_ALL="C")
    assert done.returncode != 0
    assert REFUSED[line] in done.stderr
    assert other.out("cat steps/x/status").strip() in ("pending", "in_progress")
    # What the kernel answers by itself never reaches us.
    if "File exists" not in done.stderr and "messages/" not in line:
        assert line.split("; ")[-1].split()[-1].split("/")[0] in mount.errors()


def test_any_name_is_kept_in_artifacts(mount: Mount, other: Mount) -> None:
    mount.out(
        "echo half > ../notes.part; cp ../notes.part artifacts/shared/; cp ../notes.part ../.env"
    )
    mount.out("cp ../.env artifacts/shared/")
    assert other.out("cat artifacts/shared/notes.part artifacts/shared/.env") == "half\nhalf\n"


def test_waiting_by_asking_again_and_again(mount: Mount, other: Mount) -> None:
    line = (
        'until [ "$(cat steps/x/status)" = complete ]; do read -rt 0.05 < /dev/zero; done; echo on'
    )
    with mount.popen(line) as waiting:
        other.out("echo > steps/x/claim; echo complete > steps/x/status")
        assert waiting.communicate(timeout=20)[0] == "on\n"


def test_asking_whose_it_is(mount: Mount, other: Mount) -> None:
    assert mount.sh('[ "$(cat steps/x/owner)" = designer ]').returncode == 1
    mount.out("echo > steps/x/claim")
    mount.out('[ "$(cat steps/x/owner)" = designer ]')
    other.out('! [ "$(cat steps/x/owner)" = developer ]')


def test_working_only_where_the_claim_was_won(mount: Mount, other: Mount) -> None:
    line = "touch steps/x/claim && echo working"
    assert [it.sh(line).stdout for it in (mount, mount, other)] == ["working\n", "", ""]


def test_a_claim_for_somebody_else_is_undone(mount: Mount, other: Mount) -> None:
    assert mount.sh("echo developer > steps/x/claim").returncode == 1
    assert other.out("cat steps/x/status; ! ls steps/x/claim 2> /dev/null") == "pending\n"
    other.out("echo > steps/x/claim")


def test_a_trap_gives_back_what_was_not_finished(mount: Mount, other: Mount) -> None:
    line = "trap 'rm -f steps/x/claim' EXIT; echo > steps/x/claim; {}"
    mount.sh(line.format("false"))
    assert other.out("cat steps/x/status") == "pending\n"
    mount.sh(line.format("echo complete > steps/x/status"))
    assert other.out("cat steps/x/status steps/x/owner") == "complete\ndesigner\n"


def test_directories_of_steps_are_there_already(mount: Mount) -> None:
    mount.out("mkdir -p steps/x && echo > steps/x/claim && [ -d steps/never-heard-of ]")
    assert mount.out("ls steps") == "x\n"


def test_reading_all_mail_and_removing_it(mount: Mount, other: Mount) -> None:
    other.out("echo one >> messages/designer/inbox; echo two >> messages/designer/inbox")
    objects = mount.out("find .tcfs/raw | sort")
    read = mount.out("cat messages/designer/*")
    assert (read.count("one"), read.count("two")) == (2, 2)  # each by itself, and in the inbox
    assert mount.out("find .tcfs/raw | sort") == objects
    mount.out("rm messages/designer/*")
    assert mount.out("ls messages/designer; cat messages/designer/inbox") == "inbox\n"


def test_removing_a_step(mount: Mount, other: Mount) -> None:
    """A finished step is reopened with `pending` before it is removed."""
    mount.out("echo > steps/x/claim; echo n > steps/x/notes; echo n > steps/x/handoff")
    assert "Operation not permitted" in other.sh("rm -rf steps/x").stderr
    mount.out("rm -r steps/x; ! ls steps | grep .")
    mount.out("echo complete > steps/x/status")
    assert "Operation not permitted" in mount.sh("rm -r steps/x").stderr
    assert "echo pending > steps/x/status" in mount.errors()
    mount.out("echo pending > steps/x/status; rm -r steps/x; ! ls steps | grep .")


def test_an_export_does_not_change_who_writes(mount: Mount, other: Mount) -> None:
    line = (
        "export TRACECRAFT_AGENT=developer; echo x > steps/y/claim; cat steps/y/owner .tcfs/agent"
    )
    owner, told, _, warning = mount.out(line).splitlines()
    assert (owner, told) == ("designer", "developer")
    assert warning.startswith("warning: ")
    mount.out("cd as/developer; echo x > steps/z/claim; [ $(cat steps/z/owner) = developer ]")
    assert other.out("cat steps/z/owner") == "developer\n"


def test_a_script_that_stops_at_the_first_failure(mount: Mount, other: Mount) -> None:
    script = mount.path.parent / "work.sh"
    script.write_text(
        "#!/bin/bash\n"
        "set -euo pipefail\n"
        'step=$1\nread -r me < .tcfs/agent\necho "$me begins" > "steps/$step/claim"\n'
        "trap 'rm -f \"steps/$step/claim\"' EXIT\n"
        'seq 3 | tee "memory/result.$step" | wc -l > "steps/$step/lines"\n'
        'printf "To: developer\\n\\nsee memory/result.%s\\n" "$step" > "steps/$step/handoff"\n'
        'echo complete > "steps/$step/status"\ntrap - EXIT\n'
        'echo "$step is done" >> messages/developer/inbox\n'
    )
    script.chmod(0o755)
    mount.out("../work.sh x")
    assert other.out("cat steps/x/status memory/result.x steps/x/lines") == "complete\n1\n2\n3\n3\n"
    assert other.out("tail -1 steps/x/handoff") == "see memory/result.x\n"
    assert other.out("cat messages/developer/inbox").endswith("designer: x is done\n")
    again = mount.sh("../work.sh x")
    assert again.returncode != 0
    assert "File exists" in again.stderr
    assert other.out("cat steps/x/status") == "complete\n"
