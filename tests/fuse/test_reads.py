"""Reads that wait: signals act at once, and nobody is told of a signal that was not sent."""

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fuse.mounts import Mount, until


def readers(mount: Mount) -> int:
    return int(mount.read("readers"))


@contextmanager
def waiting(mount: Mount, command: list[str], **more: object) -> Iterator[subprocess.Popen[str]]:
    """Run a command that reads `wait`, and go on once it waits."""
    before = readers(mount)
    process = subprocess.Popen(
        command,
        cwd=mount.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,  # type: ignore[call-overload]
    )
    with process:
        try:
            until(lambda: readers(mount) == before + 1, "the read")
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_timeout_ends_cat_in_time(mount: Mount) -> None:
    began = time.monotonic()
    assert mount.sh("timeout 2 cat wait").returncode == 124
    assert 2.0 <= time.monotonic() - began < 2.4


def test_timeout_ends_a_child_that_reads_its_parents_descriptor(mount: Mount) -> None:
    began = time.monotonic()
    done = mount.sh("exec 8< wait; timeout 1 cat <&8; echo $?; echo going on")
    assert done.stdout == "124\ngoing on\n"
    assert 1.0 <= time.monotonic() - began < 1.8


READERS = {
    "cat": ["cat", "wait"],
    "head": ["head", "-1", "wait"],
    "grep": ["grep", "complete", "wait"],
    "bash": ["bash", "-c", "read -r line < wait; echo $line"],
    "substitution": ["bash", "-c", "x=$(cat wait); echo $x"],
    "perl": ["perl", "-e", "open F, 'wait'; print <F>"],
    "python": ["python3", "-c", "print(open('wait').read(), end='')"],
    "node": ["node", "-e", "process.stdout.write(require('fs').readFileSync('wait'))"],
    "node-async": [
        "node",
        "-e",
        "require('fs/promises').readFile('wait').then(x => console.log(`${x}`.trim()))",
    ],
}


@pytest.mark.parametrize("name", READERS)
def test_readers_get_what_they_wait_for(mount: Mount, name: str) -> None:
    with waiting(mount, READERS[name]) as reader:
        (mount.path / "gate").write_text("open\n")
        out, err = reader.communicate(timeout=10)
    assert (out, err, reader.returncode) == ("complete\n", "", 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("name", READERS)
def test_signal_ends_a_reader_at_once(mount: Mount, name: str, number: signal.Signals) -> None:
    with waiting(mount, READERS[name], start_new_session=True) as reader:
        began = time.monotonic()
        os.killpg(reader.pid, number)
        reader.wait(10)
        assert time.monotonic() - began < 0.5
    assert reader.returncode == -number
    until(lambda: readers(mount) == 0, "the read to end")


def test_stopping_and_harmless_signals_leave_python_waiting(mount: Mount) -> None:
    with waiting(mount, READERS["python"]) as reader:
        for number in (signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG, signal.SIGCONT):
            reader.send_signal(number)
        time.sleep(0.5)  # the subject: several looks at the signals, all without effect
        assert reader.poll() is None
        (mount.path / "gate").write_text("open\n")
        assert reader.communicate(timeout=10)[0] == "complete\n"


def test_reader_that_catches_a_signal_runs_its_handler_and_reads_on(mount: Mount) -> None:
    script = (
        "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: print('caught', flush=True))\n"
        "print(open('wait').read(), end='')"
    )
    with waiting(mount, ["python3", "-c", script]) as reader:
        reader.send_signal(signal.SIGUSR1)
        assert reader.stdout is not None
        assert reader.stdout.readline() == "caught\n"
        until(lambda: readers(mount) == 1, "the read to go on")
        (mount.path / "gate").write_text("open\n")
        assert reader.communicate(timeout=10)[0] == "complete\n"


def test_other_threads_signals_do_not_disturb_a_waiting_one(mount: Mount) -> None:
    script = (
        "import os, signal, subprocess, threading\n"
        "signal.signal(signal.SIGCHLD, lambda *_: None)\n"
        "got = []\n"
        "def work():\n"
        "    fd = os.open('wait', os.O_RDONLY)\n"
        "    got.append(os.read(fd, 100))\n"
        "one = threading.Thread(target=work); one.start()\n"
        "while one.is_alive(): subprocess.run(['true'])\n"
        "print(got)\n"
    )
    with waiting(mount, ["python3", "-c", script]) as reader:
        time.sleep(0.5)  # the subject: many signals, each to the other thread
        (mount.path / "gate").write_text("open\n")
        assert reader.communicate(timeout=10)[0] == "[b'complete\\n']\n"


def test_ctrl_c_in_an_interactive_shell(mount: Mount) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(mount.path)
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    seen = bytearray()

    def shows(text: bytes) -> Callable[[], bool]:
        def look() -> bool:
            while select.select([terminal], [], [], 0)[0]:
                seen.extend(os.read(terminal, 4096))
            return text in seen

        return look

    try:
        os.write(terminal, b"PS1='re''ady> '\n")
        until(shows(b"ready> "), "the prompt")
        os.write(terminal, b"cat wait\n")
        until(lambda: readers(mount) == 1, "the read")
        began = time.monotonic()
        os.write(terminal, b"\x03")
        os.write(terminal, b"echo said $?\n")
        until(shows(b"said 130"), "the shell to go on")
        assert time.monotonic() - began < 1
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(pid, 0)


def test_many_waiting_readers_leave_the_mount_answering(mount: Mount) -> None:
    began = 150
    script = (
        "import os, threading\n"
        "def work():\n"
        "    fd = os.open('wait', os.O_RDONLY); os.read(fd, 10); os.close(fd)\n"
        f"all = [threading.Thread(target=work) for _ in range({began})]\n"
        "[one.start() for one in all]; [one.join() for one in all]; print('done')\n"
    )
    with subprocess.Popen(
        ["python3", "-c", script], cwd=mount.path, stdout=subprocess.PIPE, text=True
    ) as crowd:
        until(lambda: readers(mount) == began, "all readers")
        assert mount.sh("echo x > docs/beside; cat docs/beside").stdout == "x\n"
        (mount.path / "gate").write_text("open\n")
        assert crowd.communicate(timeout=10)[0] == "done\n"


def test_more_waiting_readers_than_allowed_get_eagain(make_mount: Callable[..., Mount]) -> None:
    mount = make_mount().ready()
    script = (
        "import errno, os, threading\n"
        "failed = []\n"
        "def work():\n"
        "    fd = os.open('wait', os.O_RDONLY)\n"
        "    try: os.read(fd, 10)\n"
        "    except OSError as error: failed.append(errno.errorcode[error.errno])\n"
        "all = [threading.Thread(target=work) for _ in range(530)]\n"
        "[one.start() for one in all]; [one.join() for one in all]\n"
        "print(len(failed), set(failed))\n"
    )
    with subprocess.Popen(
        ["python3", "-c", script], cwd=mount.path, stdout=subprocess.PIPE, text=True
    ) as crowd:
        until(lambda: readers(mount) == 512, "all readers")
        until(lambda: mount.read("refusals").count(" EAGAIN ") == 18, "the refusals")
        (mount.path / "gate").write_text("open\n")
        assert crowd.communicate(timeout=10)[0] == "18 {'EAGAIN'}\n"


def test_poll_says_ready(mount: Mount, tmp_path: Path) -> None:
    (mount.path / "docs/polled").write_text("x")
    with (mount.path / "docs/polled").open() as file:
        poll = select.poll()
        poll.register(file, select.POLLIN)
        assert poll.poll(0) == [(file.fileno(), select.POLLIN)]
