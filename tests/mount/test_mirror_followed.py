"""A live session read from another mount, and its parts merged under whoever reads them."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, final

import pytest

from tcfs.mirror.loop import INTERVAL
from tcfs.project.sessions import Session
from tests.mounts import SOURCE, Mount, credentials, until
from tests.project.mirrored import named, part_key, write_meta
from tests.servers import Account

ID: Final = "5ca1ab1e-0000-4000-8000-000000000001"
HERE: Final = Session("claude-code", ID)
TRANSCRIPT: Final = f"{HERE}/transcript.jsonl"
SOON: Final = 1.5  # seconds that a reader elsewhere may be behind the last flush

PARTS: Final = 64
LINES: Final = 64  # a part, of some 1 KiB each


def test_tail_on_another_host_is_as_late_as_the_flush_and_little_more(
    home: Path, seaweed: Account, project: str
) -> None:
    """What a live session says is read on another host within a flush interval and 1.5 s."""
    store = f"s3://{seaweed.bucket}/{project}"
    options = ("--endpoint", seaweed.endpoint)
    source = home / ".claude" / "projects" / "any" / f"{ID}.jsonl"
    source.parent.mkdir(parents=True)

    def says(number: int) -> str:
        line = {"type": "user", "sessionId": ID, "cwd": str(home), "number": number}
        with source.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return source.read_text()

    text = says(0)
    environment = credentials(seaweed)
    with (
        Mount(
            *(home, store, "writer", *options, "--mirror", "all", "--mirror-all"),
            environment=environment,
        ),
        Mount(home, store, "reader", *options, environment=environment) as reader,
    ):
        until(lambda: reader.sh(f"cat {TRANSCRIPT}").stdout == text, "the transcript")
        output = home / "followed"
        follower = reader.popen(f"exec tail -n +1 -f {TRANSCRIPT} > {output}")
        try:
            until(lambda: output.exists() and output.read_text() == text, "what there was")
            for number in (1, 2):
                text = says(number)
                begin = time.monotonic()
                until(lambda text=text: output.read_text() == text, "what is new")
                assert time.monotonic() - begin < INTERVAL + SOON
            assert follower.poll() is None
        finally:
            follower.terminate()
            assert follower.communicate()[1] == ""


@final
class Merged:
    """A session of many parts, which `tcfs session compact` merges while it is read."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.lines = [
            json.dumps({"type": "user", "number": it, "text": f"é {it} " + "word " * 200})
            for it in range(PARTS * LINES)
        ]
        self.text = "".join(f"{it}\n" for it in self.lines)
        parts = []
        for seq in range(PARTS):
            some = self.lines[seq * LINES : (seq + 1) * LINES]
            body = "".join(f"{it}\n" for it in some).encode()
            self.place(part_key(seq, session=HERE), body)
            parts.append(named(seq, uploaded_bytes=len(body), generation=1))
        total = len(self.text.encode())
        write_meta(
            self, parts, HERE, nonce="n", generation=1, total_uploaded_bytes=total, cursor={"at": 1}
        )

    def place(self, key: str, body: bytes) -> None:
        path = self._home / "store" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def compact(self, keep_tail: int) -> None:
        before = self.parts
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tcfs.cli", "session", "compact", ID),
                *("--keep-tail", str(keep_tail), "--store", str(self._home / "store")),
            ],
            env={**os.environ, "HOME": str(self._home), "PYTHONPATH": str(SOURCE)},
            cwd=self._home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert self.parts == keep_tail + 1 < before

    @property
    def parts(self) -> int:
        return len(list((self._home / "store" / str(HERE)).glob("part-*")))


@pytest.fixture
def merged(home: Path) -> Merged:
    return Merged(home)


READERS: Final[dict[str, Callable[[Merged], str]]] = {
    f"cat {TRANSCRIPT}": lambda it: it.text,
    f"jq -c . {TRANSCRIPT}": lambda it: "".join(
        json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False) + "\n"
        for line in it.lines
    ),
    f"grep '5 word' {TRANSCRIPT}": lambda it: "".join(
        f"{line}\n" for line in it.lines if "5 word" in line
    ),
    f"awk '{{ print NR, $0 }}' {TRANSCRIPT}": lambda it: "".join(
        f"{number} {line}\n" for number, line in enumerate(it.lines, 1)
    ),
    f"tail -n +100 {TRANSCRIPT}": lambda it: "".join(f"{line}\n" for line in it.lines[99:]),
    f"tail -n 3000 {TRANSCRIPT}": lambda it: "".join(f"{line}\n" for line in it.lines[-3000:]),
    f"head -n 3000 {TRANSCRIPT}": lambda it: "".join(f"{line}\n" for line in it.lines[:3000]),
}


def test_whoever_reads_while_parts_are_merged_reads_on(merged: Merged, mount: Mount) -> None:
    """More parts than 256 are merged, never leaving a gap.

    All are in the middle of it: each waits for us to read what it has printed.
    """
    with ExitStack() as stack:
        readers = {it: stack.enter_context(mount.popen(it)) for it in READERS}
        pipes = {name: it.stdout for name, it in readers.items() if it.stdout}
        shown = {name: it.read(1000) for name, it in pipes.items()}
        merged.compact(keep_tail=20)
        for name, it in pipes.items():
            shown[name] += it.read(1_000_000)
        merged.compact(keep_tail=0)
        for name, it in readers.items():
            assert shown[name] + pipes[name].read() == READERS[name](merged), name
            assert it.stderr
            assert (it.stderr.read(), it.wait()) == ("", 0), name


def test_what_counts_and_picks_is_right_before_and_after(merged: Merged, mount: Mount) -> None:
    for keep_tail in (None, 20, 0):
        if keep_tail is not None:
            merged.compact(keep_tail)
        assert mount.out(f"wc -lc < {TRANSCRIPT}").split() == [
            str(len(merged.lines)),
            str(len(merged.text.encode())),
        ]
        assert mount.out(f"tail -n 1 {TRANSCRIPT}") == merged.lines[-1] + "\n"
        assert mount.out(f"head -n 1 {TRANSCRIPT}") == merged.lines[0] + "\n"
        assert mount.out(f"grep -c '\"number\": 1' {TRANSCRIPT}") == "1111\n"
        assert mount.out(f"jq -s 'map(.number) | add' {TRANSCRIPT}") == f"{sum(range(4096))}\n"
        assert mount.out(f"awk 'END {{ print NR }}' {TRANSCRIPT}") == "4096\n"


def test_python_reads_its_lines_over_a_merge(merged: Merged, mount: Mount) -> None:
    with (mount.path / TRANSCRIPT).open() as reader:
        lines = [reader.readline() for _ in range(1000)]
        merged.compact(keep_tail=20)
        lines += [reader.readline() for _ in range(1000)]
        merged.compact(keep_tail=0)
        lines += reader.readlines()
        assert "".join(lines) == merged.text
        reader.seek(0)
        assert reader.read() == merged.text


@final
class Terminal:
    """A program in a terminal of 24 lines."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shown = b""

    def types(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def shows(self, text: str) -> bool:
        with suppress(BlockingIOError):
            self._shown += os.read(self._descriptor, 1 << 16)
        return text in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._shown.decode(errors="replace"))

    def forgets(self) -> None:
        self._shown = b""


@contextmanager
def terminal(mount: Mount, *command: str) -> Iterator[Terminal]:
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(mount.path)
        environment = {**os.environ, "TERM": "xterm", "LESS": "", "LINES": "24", "COLUMNS": "80"}
        os.execvpe(command[0], command, environment)
    os.set_blocking(descriptor, False)
    try:
        yield Terminal(descriptor)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(descriptor)


def test_less_goes_to_the_end_and_back_over_a_merge(merged: Merged, mount: Mount) -> None:
    with terminal(mount, "less", "-S", TRANSCRIPT) as less:
        until(lambda: less.shows('"number": 5,'), "the first lines")
        merged.compact(keep_tail=20)
        less.types("G")
        until(lambda: less.shows('"number": 4095,'), "the last line")
        merged.compact(keep_tail=0)
        less.forgets()
        less.types("2000g")
        until(lambda: less.shows('"number": 2000,'), "a line in the middle")
        less.forgets()
        less.types('/"number": 3333,\r')
        until(lambda: less.shows('"number": 3334,'), "what was searched for")
        less.types("q")


def test_less_follows_a_live_session(home: Path, mount: Mount) -> None:
    session = Session("claude-code", "live")
    store = home / "store"

    class Outside:
        @staticmethod
        def place(key: str, body: bytes) -> None:
            (store / key).parent.mkdir(parents=True, exist_ok=True)
            (store / f"{key}.part").write_bytes(body)
            (store / f"{key}.part").rename(store / key)

    def say(count: int) -> None:
        for seq in range(count):
            Outside.place(part_key(seq, session=session), f"line {seq}\n".encode())
        write_meta(Outside(), [named(it, uploaded_bytes=7) for it in range(count)], session)

    say(1)
    with terminal(mount, "less", "+F", f"{session}/transcript.jsonl") as less:
        until(lambda: less.shows("line 0"), "what there is")
        say(2)
        until(lambda: less.shows("line 1"), "what is new")
        say(3)
        until(lambda: less.shows("line 2"), "what is newer")
