"""`ready/`, `ready/take` and `steps/<id>/after` through real mounts, as workers use them."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.mounts import Mount, children, family, is_reading, until

TAKE = "ready/take"


def blocked(waiting: "subprocess.Popen[str]") -> Callable[[], bool]:
    return lambda: any(is_reading(it, "take") for it in family(waiting.pid))


def is_lent(mount: Mount, step: str) -> bool:
    done = mount.sh(f"cat steps/{step}/claim.json")
    return done.returncode == 0 and json.loads(done.stdout).get("hold") is True


def reads_and_keeps(mount: Mount, size: int) -> "subprocess.Popen[bytes]":
    """Start a program that takes a step, tells so many bytes of its id, and keeps the file open."""
    script = f"import os; os.write(1, os.read(os.open('ready/take', 0), {size})); os.read(0, 1)"
    return subprocess.Popen(
        ["python3", "-c", script],
        cwd=mount.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def given_back(mount: Mount, step: str) -> Callable[[], bool]:
    return lambda: mount.out(f"cat steps/{step}/status") == "pending\n"


# after


def test_after_says_what_comes_first(mount: Mount, other: Mount) -> None:
    """What is written to `after` are ids, separated by white space: the steps that come first.
    A step that was nothing yet is pending from then on."""
    mount.out("echo 'Design API.v1' > steps/build/after")
    assert other.out("cat steps/build/after steps/build/status") == "design\napi-v1\npending\n"
    assert other.out("ls steps/build; ls steps") == "after\nstatus\nbuild\n"
    found = json.loads(other.out("cat steps/build/after.json"))
    assert (found["after"], found["agent"]) == (["design", "api-v1"], "designer")
    other.out("echo docs >> steps/build/after")
    assert mount.out("cat steps/build/after") == "design\napi-v1\ndocs\n"
    mount.out("echo design > steps/build/after; sed -i s/design/draft/ steps/build/after")
    assert other.out("cat steps/build/after") == "draft\n"
    for line in (": > steps/build/after", "rm steps/build/after"):
        mount.out(f"echo design > steps/build/after; {line}")
        assert "No such file" in other.sh("cat steps/build/after").stderr
        assert other.out("ls steps/build") == "status\n"
    assert "Operation not permitted" in mount.sh("echo > steps/build/after.json").stderr
    mount.out("echo design > steps/build/after; rm -r steps/build")
    assert other.out("ls steps") == ""


def test_a_cycle_of_after_is_refused(mount: Mount) -> None:
    """An order that goes round in a circle is EINVAL, and its line in `.tcfs/errors` names the
    circle."""
    mount.out("echo b > steps/a/after; echo c > steps/b/after")
    refused = mount.sh("echo a > steps/c/after")
    assert refused.returncode == 1
    assert "Invalid argument" in refused.stderr
    assert "c → a → b → c" in mount.errors()
    assert "Invalid argument" in mount.sh("echo a > steps/a/after").stderr
    assert "Invalid argument" in mount.sh("echo _x > steps/a/after").stderr
    assert mount.out("ls steps") == "a\nb\n"


def test_after_is_written_by_whose_step_it_is(mount: Mount, other: Mount) -> None:
    """`after` is written by whose step it is, before it is finished."""
    mount.out("echo > steps/x/claim")
    assert "Operation not permitted" in other.sh("echo y > steps/x/after").stderr
    mount.out("echo y > steps/x/after; echo complete > steps/x/status")
    assert "Operation not permitted" in mount.sh("echo z > steps/x/after").stderr
    assert "reopen it first" in mount.errors()
    mount.out("echo pending > steps/x/status; echo z > steps/x/after")
    assert other.out("cat steps/x/after") == "z\n"


def test_two_mounts_that_add_lose_nothing(mount: Mount, other: Mount) -> None:
    script = "for i in $(seq 15); do echo {}$i >> steps/x/after || exit; done"
    with mount.popen(script.format("a")) as one, other.popen(script.format("b")) as two:
        assert (one.wait(60), two.wait(60)) == (0, 0)
    assert len(mount.out("cat steps/x/after").split()) == 30


# ready/


def test_ready_lists_what_can_be_begun(mount: Mount, other: Mount) -> None:
    """`ready/` lists, as symbolic links, the steps that are pending and whose `after` are all
    complete."""
    mount.out("echo pending > steps/a/status; echo a > steps/b/after; echo b > steps/c/after")
    assert other.out("ls ready; readlink ready/a; cat ready/a/status") == "a\n../steps/a\npending\n"
    assert other.out("cd as/tester/ready; ls; cat a/status") == "a\npending\n"
    assert other.sh("cat ready/b/status").returncode == 1
    mount.out("echo > ready/a/claim")
    assert other.out("ls ready") == ""
    mount.out("echo complete > steps/a/status")
    assert other.out("ls ready") == "b\n"
    other.out("echo failed > steps/b/status")
    assert other.out("ls ready") == ""
    mount.out("rm steps/c/after")
    for line in ("mkdir ready/x", "rm ready/c", "echo > ready/x", "touch ready/x"):
        assert "Read-only file system" in mount.sh(line).stderr


def test_a_race_s_circle_has_a_line_in_errors(mount: Mount) -> None:
    """A circle that two writers made is told once, in the `.tcfs/errors` of whoever lists
    `ready/` or takes."""
    store = mount.path.parent / "store" / "steps"
    for step, first in (("a", "b"), ("b", "a")):
        (store / step).mkdir(parents=True)
        (store / step / "after.json").write_text(json.dumps({"after": [first]}))
    mount.out("ls ready; ls ready; timeout 0.5 cat ready/take; timeout 0.5 cat ready/take; true")
    told = [line for line in mount.errors().splitlines() if "wait for each other" in line]
    assert len(told) == 1
    assert told[0].endswith("these wait for each other: a → b → a; write one's after")


# ready/take


def test_the_worker_s_loop(mount: Mount) -> None:
    """`cat ready/take` waits for a step that is ready, claims it, and prints its id. It is
    ENODATA when nothing is pending and nothing in progress."""
    assert mount.sh("cat ready/take").stderr == "cat: ready/take: No data available\n"
    mount.out("echo one > steps/two/after; echo two > steps/three/after; : > steps/one/after")
    done = mount.sh(
        "while s=$(cat ready/take); do echo $s $(cat steps/$s/owner) $(cat steps/$s/status);"
        " echo complete > steps/$s/status; done"
    )
    assert done.stdout.splitlines() == [
        f"{step} designer in_progress" for step in ("one", "two", "three")
    ]
    assert done.stderr == "cat: ready/take: No data available\n"
    assert "no step is pending" in mount.errors()


@pytest.mark.parametrize(
    "script",
    [
        "cat ready/take",
        "read -r s < ready/take; echo $s",
        "sh -c 'read -r s < ready/take; echo $s'",
        "exec 8< ready/take; read -r s <&8; echo $s",
        "exec 8< ready/take; cat <&8",
        "mapfile -t s < ready/take; echo $s",
        "head -1 ready/take",
        "head -c9 ready/take; echo",
        "dd if=ready/take bs=2 status=none",
        "timeout 20 cat ready/take",
        "perl -ne print ready/take",
        "python3 -c \"print(open('ready/take').read(), end='')\"",
        "python3 -c \"import os; print(os.read(os.open('ready/take', 0), 9).decode())\"",
        "node -e \"process.stdout.write(require('fs').readFileSync('ready/take'))\"",
    ],
)
def test_programs_take_and_keep_the_step(mount: Mount, other: Mount, script: str) -> None:
    """Once its id was read, the step is the reader's as any that it claimed."""
    mount.out("echo first > steps/build-api/after")
    with mount.popen(script) as waiting:
        until(blocked(waiting), "the reader to block")
        other.out("echo complete > steps/first/status")
        out, err = waiting.communicate(timeout=20)
    assert (waiting.returncode, out, err) == (0, "build-api\n", "")
    until(lambda: not is_lent(mount, "build-api"), "the mount's lease")
    lease = json.loads(mount.out("cat steps/build-api/claim.json"))["lease"]
    assert lease["seconds"] == 900
    assert other.out("cat steps/build-api/owner") == "designer\n"
    mount.out("exec 9> steps/build-api/hold; echo complete > steps/build-api/status")
    assert other.out("cat steps/build-api/status") == "complete\n"


def test_whoever_waits_here_is_woken_at_once(mount: Mount) -> None:
    mount.out("echo first > steps/build/after")
    with mount.popen("cat ready/take") as waiting:
        until(blocked(waiting), "cat to block")
        time.sleep(0.5)  # into the watcher's tick
        begin = time.monotonic()
        mount.out("echo complete > steps/first/status")
        assert waiting.communicate(timeout=20)[0] == "build\n"
        assert time.monotonic() - begin < 0.4


def test_each_step_is_taken_once(mount: Mount, other: Mount) -> None:
    mount.out("for i in $(seq 12); do echo pending > steps/s$i/status; done")
    scripts = [f"cat as/{name}/ready/take" for name in "abcdef"]
    workers = [it.popen(script) for it in (mount, other) for script in scripts]
    taken = [it.communicate(timeout=30)[0] for it in workers]
    assert sorted(taken) == sorted(f"s{number}\n" for number in range(1, 13))
    assert mount.out("ls ready") == ""


def test_who_waits_is_told_when_nothing_is_left(mount: Mount, other: Mount) -> None:
    mount.out("echo > steps/x/claim")
    with other.popen("cat ready/take") as waiting:
        until(blocked(waiting), "cat to block")
        mount.out("echo needs_review > steps/x/status")
        assert "No data available" in waiting.communicate(timeout=20)[1]


def test_reading_everything_takes_nothing(mount: Mount) -> None:
    mount.out("echo pending > steps/x/status")
    mount.out("ls -la ready; find . > ../found; grep -r nothing ready; tar cf ../t.tar ready; true")
    mount.out("cp -a ready ../copy; grep -R pending ready; stat ready/take; du -a ready")
    assert "take" not in mount.out("ls -a ready").split()
    assert mount.out("cat steps/x/status") == "pending\n"
    assert "Operation not permitted" in mount.sh("echo > ready/take").stderr
    assert "Operation not permitted" in mount.sh("touch ready/take").stderr


# given back


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_reader_that_is_killed_while_it_waits_takes_nothing(
    mount: Mount, how: signal.Signals
) -> None:
    mount.out("echo first > steps/build/after")
    reader = subprocess.Popen(["cat", TAKE], cwd=mount.path, stdout=subprocess.DEVNULL)
    until(lambda: is_reading(reader.pid, "take"), "cat to block")
    begin = time.monotonic()
    reader.send_signal(how)
    assert reader.wait(10) == -how
    assert time.monotonic() - begin < 1.0
    mount.out("echo complete > steps/first/status")
    assert mount.out("cat ready/take") == "build\n"


def test_a_time_out_takes_nothing(mount: Mount) -> None:
    mount.out("echo first > steps/build/after")
    assert mount.sh("timeout 0.5 cat ready/take").returncode == 124
    mount.out("echo complete > steps/first/status")
    assert mount.out("ls ready; cat ready/take") == "build\nbuild\n"


def test_a_reader_that_is_killed_before_it_lets_go_gives_back(mount: Mount, other: Mount) -> None:
    """A reader that dies before it has the id gives the step back."""
    mount.out("echo pending > steps/build/status")
    with reads_and_keeps(mount, 99) as reader:
        assert reader.stdout is not None
        assert reader.stdout.read(6) == b"build\n"
        assert is_lent(other, "build")
        reader.kill()
    until(given_back(other, "build"), "the step", 5)
    assert other.out("cat ready/take") == "build\n"


def test_a_reader_whose_shell_is_gone_gives_back(mount: Mount, other: Mount) -> None:
    """`s=$(cat ready/take)`, and the shell is killed: nobody is left for `cat` to tell."""
    mount.out("echo first > steps/build/after")
    shell = subprocess.Popen(["bash", "-c", "s=$(cat ready/take); echo $s"], cwd=mount.path)
    until(lambda: any(is_reading(it, "take") for it in children(shell.pid)), "cat to block")
    (cat,) = children(shell.pid)
    shell.kill()
    shell.wait(10)
    mount.out("echo complete > steps/first/status")
    until(lambda: not os.path.exists(f"/proc/{cat}"), "cat to end")  # noqa: PTH110
    until(given_back(other, "build"), "the step", 5)


def test_who_reads_a_part_only_gives_back(mount: Mount) -> None:
    mount.out("echo pending > steps/build/status; head -c2 ready/take; : < ready/take")
    until(given_back(mount, "build"), "the step", 5)


def test_a_mount_that_was_killed_gives_back_what_nobody_read(mount: Mount, other: Mount) -> None:
    mount.out("echo pending > steps/build/status")
    with reads_and_keeps(mount, 2) as reader:
        assert reader.stdout is not None
        assert reader.stdout.read(2) == b"bu"
        mount.end(signal.SIGKILL)
        reader.kill()
    assert other.out("cat steps/build/status") == "in_progress\n"
    mount.start()
    until(given_back(other, "build"), "the step", 10)


def test_a_mount_ends_while_somebody_waits_for_a_step(mount: Mount) -> None:
    mount.out("echo first > steps/build/after")
    with mount.popen("cat ready/take") as waiting:
        until(blocked(waiting), "cat to block")
        mount.end()
        assert waiting.wait(10) != 0
