"""Fuzzes the parsers of the wire for as long as one likes, led by what is covered.

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris -e .
    /tmp/fuzz/bin/python -m tests.faults.security.fuzz claim -max_total_time=600
    /tmp/fuzz/bin/python -m tests.faults.security.fuzz all -max_total_time=60

atheris is for this only, and no requirement of the suite: `tests/wire/test_fuzz.py` looks at the
same targets with hypothesis. What follows the target's name is libFuzzer's. `all` goes through
every target, each in a process of its own. What breaks one is kept in the current directory, and
is run again by giving its name: `… claim crash-0123abcd`.
"""

import subprocess
import sys
from collections.abc import Sequence

try:
    import atheris
except ImportError:
    sys.exit("this needs atheris: pip install atheris (a Python that it has a wheel for)")

with atheris.instrument_imports(include=["tcfs.wire"]):
    from tests.wire.fuzzed import TARGETS


def main(arguments: Sequence[str]) -> int:
    """Fuzz one target, or all of them; returns the number of those that broke."""
    name, *options = arguments or [""]
    if name == "all":
        command = [sys.executable, "-m", "tests.faults.security.fuzz"]
        ends = [subprocess.run([*command, it, *options], check=False) for it in TARGETS]
        broken = [it for it, end in zip(TARGETS, ends, strict=True) if end.returncode]
        print("broken:" if broken else "none is broken", *broken)
        return len(broken)
    if name not in TARGETS:
        sys.exit(f"name one of: all {' '.join(TARGETS)}")
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()  # ends the process
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
