"""One open is one document, stored when whoever opened it lets go of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuse.mounts import Mount, until


def test_echo_append_is_one_commit(mount: Mount) -> None:
    assert mount.sh("echo x >> mail/echo").returncode == 0
    assert mount.commits("/mail/echo") == ["b'x\\n'"]


def test_echo_truncating_is_one_commit(mount: Mount) -> None:
    mount.sh("echo x > mail/echo-over")
    assert mount.commits("/mail/echo-over") == ["b'x\\n'"]


def test_group_with_children_is_one_commit(mount: Mount) -> None:
    mount.sh("{ echo a; date +now; /bin/echo b; } >> mail/group")
    assert mount.commits("/mail/group") == ["b'a\\nnow\\nb\\n'"]


def test_script_is_one_commit(mount: Mount, tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/bash\necho one\n/bin/echo two\n(echo three)\n")
    script.chmod(0o755)
    mount.sh(f"{script} >> mail/script")
    assert mount.commits("/mail/script") == ["b'one\\ntwo\\nthree\\n'"]


def test_heredoc_is_one_commit(mount: Mount) -> None:
    lines = "".join(f"line {n}\n" for n in range(20))
    mount.sh(f"cat >> mail/heredoc <<'END'\n{lines}END\n")
    assert mount.commits("/mail/heredoc") == [repr(lines.encode())]


def test_exec_descriptor_is_one_commit_when_closed(mount: Mount) -> None:
    done = mount.sh(
        "exec 7>> mail/exec; echo 1 >&7; /bin/echo 2 >&7; echo 3 >&7; cat commits; exec 7>&-"
    )
    assert "/mail/exec " not in done.stdout
    assert mount.commits("/mail/exec") == ["b'1\\n2\\n3\\n'"]


def test_python_with_three_writes_is_one_commit(mount: Mount) -> None:
    with (mount.path / "mail/python").open("a", buffering=1) as file:
        for n in range(3):
            file.write(f"{n}\n")
    assert mount.commits("/mail/python") == ["b'0\\n1\\n2\\n'"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("node", ["node", "-e", "require('fs').appendFileSync('mail/node', 'x\\n')"]),
        ("perl", ["perl", "-e", "open(F, '>>', 'mail/perl'); print F \"x\\n\"; close F"]),
        ("tee", ["bash", "-c", "echo x | tee -a mail/tee"]),
        ("cp", ["bash", "-c", "echo x > $TMPDIR/x; cp $TMPDIR/x mail/cp"]),
        ("dd", ["bash", "-c", "echo x | dd of=mail/dd oflag=append conv=notrunc"]),
        ("subshell", ["bash", "-c", "(echo x) >> mail/subshell"]),
        ("pipe", ["bash", "-c", "echo x | cat >> mail/pipe"]),
    ],
)
def test_other_writers_make_one_commit(
    mount: Mount, tmp_path: Path, name: str, command: list[str]
) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run(
        command, cwd=mount.path, check=True, capture_output=True, timeout=30, env=environment
    )
    assert mount.commits(f"/mail/{name}") == ["b'x\\n'"]


def test_commit_is_done_when_close_returns(mount: Mount) -> None:
    for n in range(20):
        with (mount.path / "docs/close").open("w") as file:
            file.write("x" * n)
        assert len(mount.commits("/docs/close")) == n + 1


def test_thread_that_opened_may_end_before_the_close(mount: Mount) -> None:
    script = (
        "import threading, os\n"
        "fd = []\n"
        "def work():\n"
        "    fd.append(os.open('mail/thread', os.O_WRONLY | os.O_APPEND))\n"
        "    os.write(fd[0], b'a')\n"
        "one = threading.Thread(target=work); one.start(); one.join()\n"
        "two = os.dup(fd[0]); os.close(two)\n"
        "os.write(fd[0], b'b')\n"
        "os.close(fd[0])\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=mount.path, check=True, timeout=30)
    assert mount.commits("/mail/thread") == ["b'ab'"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_writer_killed_by_a_signal_commits_nothing(mount: Mount, number: signal.Signals) -> None:
    name = f"/mail/killed-{number.name}"
    script = f"import os\nfd = os.open('{name[1:]}', os.O_WRONLY)\nos.write(fd, b'half')\n" + (
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "print('written', flush=True)\nwhile True: signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=mount.path, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(number)
    until(lambda: name in mount.read("released"), "the release")
    assert mount.commits(name) == ["discarded"]


def test_killed_child_does_not_discard_its_parents_message(mount: Mount) -> None:
    mount.sh("exec 7>> mail/parent; echo a >&7; (kill -9 $BASHPID); echo b >&7; exec 7>&-")
    assert mount.commits("/mail/parent") == ["b'a\\nb\\n'"]


def test_what_a_child_writes_after_its_opener_ended_is_stored_at_the_last_close(
    mount: Mount,
) -> None:
    mount.sh("(echo a; { read -r _; echo b; } <&3 & ) 3< <(sleep 0.3; echo go) >> mail/orphan")
    until(lambda: "/mail/orphan" in mount.read("released"), "the release")
    assert "".join(mount.commits("/mail/orphan")).count("n'") >= 1
    assert "b" in "".join(mount.commits("/mail/orphan"))


def test_creating_or_truncating_alone_is_stored(mount: Mount) -> None:
    mount.sh(": > docs/empty")
    assert mount.commits("/docs/empty") == ["0"]
    mount.sh("echo full > docs/empty; : > docs/empty")
    assert mount.commits("/docs/empty") == ["0", "5", "0"]


def test_reading_commits_nothing(mount: Mount) -> None:
    mount.sh("echo x > docs/read; cat docs/read; cat docs/read")
    assert mount.commits("/docs/read") == ["2"]


def test_reader_that_wants_to_know_is_told_of_each_close(mount: Mount) -> None:
    mount.sh("cat told; cat told")
    assert mount.commits("/told") == ["closed", "closed"]


def test_fsync_stores_and_the_close_adds_nothing(mount: Mount) -> None:
    with (mount.path / "docs/synced").open("w") as file:
        file.write("abc")
        file.flush()
        os.fsync(file.fileno())
        assert mount.commits("/docs/synced") == ["3"]
    assert mount.commits("/docs/synced") == ["3"]


def test_opener_of_a_removed_file_commits_at_its_close(mount: Mount) -> None:
    done = mount.sh(
        "exec 7> docs/removed; echo a >&7; : > docs/other; rm -f docs/removed 2>/dev/null; "
        "/bin/echo b >&7; grep -c docs/removed commits; exec 7>&-; grep -c docs/removed commits"
    )
    assert done.stdout == "0\n1\n"
