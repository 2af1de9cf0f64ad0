"""What a long transcript takes: large buffers go back to the system when they are let go of."""

import subprocess
import sys

SCRIPT = """
import sys
from pathlib import Path
from tcfs.mirror._memory import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "given back":
    give_back()
part = b"x" * (16 << 20)
del part  # from now on the C library would serve whatever is smaller from its heap
before = resident()
parts = [b"x" * (1 << 20) for _ in range(64)]
del parts[:-1]  # the last one keeps the heap from shrinking
print(resident() - before)
"""


def kept(how: str) -> int:
    """Return the bytes that a process keeps of 63 MiB which it let go of."""
    command = [sys.executable, "-c", SCRIPT, how]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def test_large_buffers_are_given_back() -> None:
    assert kept("given back") < 8 << 20


def test_without_that_they_are_not() -> None:
    """Else nothing would be proved."""
    assert kept("kept") > 32 << 20
