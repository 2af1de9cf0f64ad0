"""`inbox` through a real mount, followed by the programs that follow files."""

import os
import pty
import select
import signal
import subprocess
import time

import pytest

from tests.mounts import Mount, until

INBOX = "messages/developer/inbox"


@pytest.mark.parametrize("options", ["-f", "-F", "-f -n 100", "--follow=descriptor -s 0.2"])
def test_tail_follows_an_inbox(mount: Mount, other: Mount, options: str) -> None:
    """`tail -f inbox` shows mail as it comes: an inbox that is open only grows."""
    mount.out(f"echo first >> {INBOX}")
    log = other.path.parent / "tailed"
    log.touch()
    with other.popen(f"exec timeout 60 tail {options} {INBOX} > {log}") as tail:
        until(lambda: "first\n" in log.read_text(), "tail to begin")
        mount.out(f"echo second >> {INBOX}")
        until(lambda: "second\n" in log.read_text(), "the next")
        other.out("rm messages/developer/*_designer_*")
        mount.out("echo all >> messages/_broadcast/inbox")
        until(lambda: "all\n" in log.read_text(), "mail to all")
        mount.out(f"printf 'two\\nlines\\n' >> {INBOX}")
        until(lambda: "    lines\n" in log.read_text(), "the last one")
        tail.terminate()
        assert tail.communicate(timeout=10)[1] == ""
    lines = [it.rpartition(": ")[2].strip() for it in log.read_text().splitlines()]
    assert lines == ["first", "second", "all", "two", "lines"]


def test_less_follows_an_inbox(mount: Mount, other: Mount) -> None:
    """`less +F inbox` does, too."""
    mount.out(f"echo first >> {INBOX}")
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(other.path)
        os.execvpe("less", ["less", "+F", INBOX], os.environ | {"TERM": "xterm", "LESS": ""})
    try:
        _expect(terminal, b"first")
        mount.out(f"echo second >> {INBOX}")
        _expect(terminal, b"second")
        mount.out(f"echo third >> {INBOX}")
        _expect(terminal, b"third")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_a_reader_that_stays_sees_what_comes(mount: Mount, other: Mount) -> None:
    mount.out(f"echo first >> {INBOX}")
    script = f"import time; f = open('{INBOX}'); print(f.read(), flush=True); input(); "
    script += "print(f.read(), end='')"
    command = ["python3", "-c", script]
    with subprocess.Popen(
        command, cwd=other.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline().endswith(": first\n")
        mount.out(f"echo second >> {INBOX}")
        time.sleep(0.6)  # who reads to the end at once is not made to ask the store again
        out, _ = reader.communicate("\n", timeout=10)
    assert out.strip().endswith(": second")


def _expect(terminal: int, text: bytes) -> None:
    seen = b""
    end = time.monotonic() + 10
    while text not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        assert ready, seen
        seen += os.read(terminal, 4096)
