"""Reads that wait: they end when told to, and no program sees an error it was not sent."""

import ast
import errno
import os
import pty
import select
import signal
import subprocess
import time

import pytest

from tests.mounts import Mount, children, family, is_reading, until


def test_timeout_ends_a_wait_in_time(mount: Mount) -> None:
    begin = time.monotonic()
    done = mount.sh("timeout 2 cat steps/x/wait")
    took = time.monotonic() - begin
    assert done.returncode == 124
    assert 2.0 <= took <= 2.3


def test_a_wait_on_a_descriptor_of_the_shell_ends_in_time(mount: Mount) -> None:
    begin = time.monotonic()
    done = mount.sh("exec 8< steps/x/wait; timeout 1 cat <&8; echo $?")
    assert done.stdout == "124\n"
    assert time.monotonic() - begin < 1.5


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_wait_at_once(mount: Mount, how: signal.Signals) -> None:
    reader = subprocess.Popen(["cat", "steps/x/wait"], cwd=mount.path, stdout=subprocess.DEVNULL)
    until(lambda: is_reading(reader.pid, "wait"), "cat to block")
    begin = time.monotonic()
    reader.send_signal(how)
    assert reader.wait(10) == -how
    assert time.monotonic() - begin < 1.0


def test_control_c_returns_to_an_interactive_shell_at_once(mount: Mount) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(mount.path)
        environment = os.environ | {"PS1": "ready> "}
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    try:
        _expect(terminal, b"ready> ")
        os.write(terminal, b"cat steps/x/wait\n")
        until(lambda: any(is_reading(it, "wait") for it in children(pid)), "cat to block")
        begin = time.monotonic()
        os.write(terminal, b"\x03")
        _expect(terminal, b"ready> ")
        assert time.monotonic() - begin < 1.0
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


@pytest.mark.parametrize(
    "script",
    [
        "cat steps/x/wait",
        "read -r word < steps/x/wait; echo $word",
        "head -1 steps/x/wait",
        "grep complete steps/x/wait",
        "perl -ne print steps/x/wait",
        "python3 -c \"print(open('steps/x/wait').read(), end='')\"",
        "node -e \"process.stdout.write(require('fs').readFileSync('steps/x/wait'))\"",
        "node -e \"require('fs').readFile('steps/x/wait', (e, t) => process.stdout.write(t))\"",
    ],
)
def test_programs_wait_and_go_on(mount: Mount, other: Mount, script: str) -> None:
    with mount.popen(script) as waiting:
        until(
            lambda: any(is_reading(it, "wait") for it in family(waiting.pid)), "the reader to block"
        )
        other.out("echo complete > steps/x/status")
        out, err = waiting.communicate(timeout=20)
    assert (waiting.returncode, out, err) == (0, "complete\n", "")


def test_waiting_for_what_nobody_has_heard_of_names_the_nearest(mount: Mount) -> None:
    mount.out("echo > steps/design/claim; timeout 0.3 cat steps/desing/wait; true")
    until(lambda: "nearest: design" in mount.errors(), "the line in errors")


def test_a_mount_ends_while_somebody_waits(mount: Mount) -> None:
    with mount.popen("cat steps/x/wait") as waiting:
        until(
            lambda: any(is_reading(it, "wait") for it in family(waiting.pid)), "the reader to block"
        )
        mount.end()
        assert waiting.wait(10) != 0


def test_poll_takes_the_step_that_is_read_then(mount: Mount, other: Mount) -> None:
    """Who polls `ready/take` has a step taken, which a close without reading gives back."""
    other.out("echo > steps/z/claim")
    for reads in (False, True):
        fd = os.open(mount.path / "ready/take", os.O_RDONLY)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            assert poll.poll(1500) == [], "through a look at the bucket"
            if not reads:
                other.out("rm steps/z/claim")
            else:
                other.out("echo pending > steps/z/status")
            until(lambda poll=poll: poll.poll(100) != [], "a step")
            assert mount.out("cat steps/z/owner") == "designer\n"
            if reads:
                assert os.read(fd, 100) == b"z\n"
        finally:
            os.close(fd)
        if not reads:
            until(lambda: mount.sh("cat steps/z/owner").returncode == 1, "giving it back")
            other.out("echo > steps/z/claim; echo blocked > steps/z/status; echo > steps/w/claim")
    assert mount.out("cat steps/z/owner") == "designer\n"


READERS = """
import errno, os, threading
def work():
    fd = os.open("steps/x/wait", os.O_RDONLY)
    try: got.append(os.read(fd, 100))
    except OSError as error: got.append(errno.errorcode[error.errno])
    os.close(fd)
got = []
threads = [threading.Thread(target=work) for _ in range(520)]
for it in threads: it.start()
for it in threads: it.join()
print({str(it): got.count(it) for it in set(got)})
"""


def test_all_else_goes_on_while_as_many_wait_as_may(mount: Mount, other: Mount) -> None:
    """At most 512 reads wait in a mount; one more is EAGAIN, and everything else goes on."""
    command = ["python3", "-c", READERS]
    with subprocess.Popen(command, cwd=mount.path, stdout=subprocess.PIPE, text=True) as crowd:
        until(lambda: "tcfs_blocked_reads 512\n" in mount.out("cat .tcfs/metrics"), "the readers")
        until(lambda: mount.errors().count(" EAGAIN 512 reads wait ") == 8, "the refusals")
        mount.out("echo v > memory/k; echo hi >> messages/developer/inbox; echo > steps/y/claim")
        mount.out("cp /etc/hostname artifacts/shared/; cmp /etc/hostname artifacts/shared/hostname")
        assert mount.out("cat memory/k; ls steps; ls -l artifacts/shared | wc -l") == "v\ny\n2\n"
        other.out("echo complete > steps/x/status")
        out, _ = crowd.communicate(timeout=60)
    assert ast.literal_eval(out) == {"EAGAIN": 8, "b'complete\\n'": 512}


def test_poll_is_ready_when_a_read_would_not_wait(mount: Mount, other: Mount) -> None:
    """Each file, and no other, is told of as soon as it is ready.

    `poll`, `select` and `epoll` tell when a read would not wait; ordinary files are always ready.
    """
    names = ("steps/x/wait", "steps/y/wait", "messages/designer/wait", ".tcfs/events", "README")
    fds = {os.open(mount.path / name, os.O_RDONLY): name for name in names}
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)

    def ready() -> set[str]:
        found = poll.poll(100)
        assert {events for _, events in found} <= {select.POLLIN}
        return {fds[fd] for fd, _ in found}

    try:
        assert ready() == {"README"}
        other.out("echo complete > steps/x/status")
        until(lambda: ready() == {"README", "steps/x/wait", ".tcfs/events"}, "the step")
        other.out("echo hi >> messages/designer/inbox")
        other.out("echo blocked > steps/y/status")
        until(lambda: ready() == set(names), "all the others")
        got = {}
        for fd, name in fds.items():
            try:
                got[name] = os.read(fd, 1 << 20)
            except OSError as error:
                got[name] = errno.errorcode[error.errno].encode()
        assert got["steps/x/wait"] == b"complete\n"
        assert got["steps/y/wait"] == b"ECANCELED"
        assert got["messages/designer/wait"].endswith(b"(direct) developer: hi\n")
    finally:
        for fd in fds:
            os.close(fd)
    assert "hi" in mount.out("cat messages/designer/inbox")


def _expect(terminal: int, text: bytes) -> None:
    seen = b""
    end = time.monotonic() + 10
    while text not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        assert ready, seen
        seen += os.read(terminal, 4096)
