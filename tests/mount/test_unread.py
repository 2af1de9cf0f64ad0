"""`unread` and `wait` through a real mount: what marks mail as read, and what does not."""

import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.mounts import Mount, family, is_reading, until

UNREAD = "messages/developer/unread"
WAIT = "messages/developer/wait"


def texts(shown: str) -> list[str]:
    return [it.partition("designer: ")[2] for it in shown.splitlines()]


def blocked(reader: subprocess.Popen[str], name: str = "wait") -> Callable[[], bool]:
    return lambda: any(is_reading(it, name) for it in family(reader.pid))


@pytest.mark.parametrize(
    "script",
    [
        f"cat {UNREAD}",
        f"cp {UNREAD} ../copy; cat ../copy",
        f"cat < {UNREAD}",
        f'echo "$(< {UNREAD})"',
        f"grep : {UNREAD}",
        f"tail -n 100 {UNREAD}",
        f'while read -r line; do /bin/echo "$line"; done < {UNREAD}',
        f"mapfile -t all < {UNREAD}; printf '%s\\n' \"${{all[@]}}\"",
        f"exec 7< {UNREAD}; /bin/cat <&7; exec 7<&-",
        f"python3 -c \"print(open('{UNREAD}').read(), end='')\"",
        f"node -e \"process.stdout.write(require('fs').readFileSync('{UNREAD}'))\"",
        f"perl -ne print {UNREAD}",
    ],
)
def test_what_was_read_to_the_end_is_marked(mount: Mount, other: Mount, script: str) -> None:
    """`cat unread` shows what came since the last read, and marks it once it was read to the
    end."""
    mount.out("echo one >> messages/developer/inbox; echo two >> messages/_broadcast/inbox")
    other.out("echo 'my own' >> messages/_broadcast/inbox")
    assert texts(other.out(script)) == ["one", "two"]
    assert other.out(f"cat {UNREAD}") == ""
    mount.out("echo three >> messages/developer/inbox")
    assert texts(other.out(f"cat {UNREAD}")) == ["three"]


@pytest.mark.parametrize(
    "script",
    [
        f"head -c 10 {UNREAD}",
        f"read -r line < {UNREAD}",
        f"exec 7< {UNREAD}; read -r line <&7; /bin/true; exec 7<&-",
        f"bash -c 'exec 7< {UNREAD}; read -r line <&7; kill -9 $$'",
        f"cat {UNREAD} > /dev/full",
        f"stat {UNREAD}; test -r {UNREAD}; wc -c < /dev/null; ls -l {UNREAD}",
        f"python3 -c \"open('{UNREAD}').read(10)\"",
    ],
)
def test_what_was_not_read_to_the_end_is_shown_again(
    mount: Mount, other: Mount, script: str
) -> None:
    """A reader that is killed, or stops early, marks nothing."""
    mount.out("for i in $(seq 200); do echo line $i; done >> messages/developer/inbox")
    other.sh(script)
    assert texts(other.out(f"cat {UNREAD}"))[0] == "line 1"
    assert other.out(f"cat {UNREAD}") == ""


@pytest.mark.parametrize(
    "script",
    [
        "cat messages/developer/*",
        "grep -r designer .",
        "find . -type f -exec cat {} +",
        "tar cf ../t.tar messages",
        "cp -a messages ../copy",
    ],
)
def test_what_reads_everything_marks_nothing(mount: Mount, other: Mount, script: str) -> None:
    """A file that blocks is not listed. `find`, `grep -r`, `du`, `tar`, `cp -a`, `rsync` and
    `git` over the whole mount end, mark no mail as read, and store nothing."""
    mount.out("echo one >> messages/developer/inbox")
    other.out(script)
    assert {"unread", "wait"}.isdisjoint(other.out("ls -a messages/developer").split())
    assert "_cursor" not in other.out("find .tcfs/raw/messages")
    assert texts(other.out(f"cat {UNREAD}")) == ["one"]


def test_mail_is_marked_by_whose_it_is(mount: Mount, other: Mount) -> None:
    """`unread` and `wait` are read by the agent whose mailbox it is, and in no other."""
    mount.out("echo one >> messages/developer/inbox")
    for name in ("unread", "wait"):
        assert "Operation not permitted" in mount.sh(f"cat messages/developer/{name}").stderr
        assert "No such file" in mount.sh(f"cat messages/_broadcast/{name}").stderr
        assert "Operation not permitted" in other.sh(f"echo x > messages/developer/{name}").stderr
        assert "Operation not permitted" in other.sh(f"touch messages/developer/{name}").stderr
        assert "Operation not permitted" in other.sh(f"rm messages/developer/{name}").stderr
    assert "only developer reads this" in mount.errors()
    script = "cat messages/developer/unread"
    assert texts(mount.out(script, TRACECRAFT_AGENT="developer")) == ["one"]
    mount.out("echo two >> messages/developer/inbox")
    assert texts(mount.out("cat as/developer/messages/developer/unread")) == ["two"]
    assert other.out(f"cat {UNREAD}") == ""


def test_a_wait_shows_mail_as_it_comes(mount: Mount, other: Mount) -> None:
    """`cat wait` is `cat unread` that blocks until there is something."""
    loop = f"for i in 1 2 3; do cat {WAIT}; done"

    def marked(count: int) -> bool:
        cursor = other.sh("cat .tcfs/raw/messages/developer/_cursor.json").stdout
        return cursor.count("_designer_") == count

    with other.popen(loop) as waiting:
        for number in range(3):
            until(blocked(waiting), "cat to block")
            mount.out(f"echo {number} >> messages/developer/inbox")
            until(partial(marked, number + 1), "the mark")
        assert texts(waiting.communicate(timeout=20)[0]) == ["0", "1", "2"]
    mount.out("echo there >> messages/developer/inbox")
    assert texts(other.out(f"timeout 5 cat {WAIT}")) == ["there"]
    assert other.out(f"cat {UNREAD}") == ""


def test_mail_of_the_same_mount_ends_a_wait_at_once(mount: Mount, other: Mount) -> None:
    with mount.popen(f"cat as/developer/{WAIT}") as waiting:
        until(blocked(waiting), "cat to block")
        time.sleep(0.5)  # into the watcher's tick
        begin = time.monotonic()
        mount.out("echo hi >> messages/developer/inbox")
        assert texts(waiting.communicate(timeout=20)[0]) == ["hi"]
        assert time.monotonic() - begin < 0.4


def test_two_who_wait_are_both_shown_it(mount: Mount, other: Mount) -> None:
    """Two who wait as one agent at the same time are both shown what comes; none is lost."""
    with other.popen(f"cat {WAIT} & cat {WAIT}; wait") as waiting:
        until(lambda: sum(is_reading(it, "wait") for it in family(waiting.pid)) == 2, "both")
        mount.out("echo hi >> messages/developer/inbox")
        assert texts(waiting.communicate(timeout=20)[0]) == ["hi", "hi"]
    assert other.out(f"cat {UNREAD}") == ""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_signal_ends_a_wait_for_mail_and_marks_nothing(
    mount: Mount, other: Mount, how: signal.Signals
) -> None:
    reader = subprocess.Popen(["cat", WAIT], cwd=other.path, stdout=subprocess.DEVNULL)
    until(lambda: is_reading(reader.pid, "wait"), "cat to block")
    begin = time.monotonic()
    reader.send_signal(how)
    assert reader.wait(10) == -how
    assert time.monotonic() - begin < 1.0
    mount.out("echo hi >> messages/developer/inbox")
    assert texts(other.out(f"cat {UNREAD}")) == ["hi"]


def test_a_timeout_ends_a_wait_for_mail(mount: Mount, other: Mount) -> None:
    done = other.sh(f"timeout 1 cat {WAIT}")
    assert (done.returncode, done.stdout) == (124, "")
