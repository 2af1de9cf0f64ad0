"""What a process takes: memory, descriptors, threads; what a mount says of itself."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tests.mounts import Mount

MIB: Final = 1 << 20
FORGET: Final = Path("/proc/sys/vm/drop_caches")


@final
@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of memory in use, and at the most since the last `begin`; descriptors, threads."""

    resident: int
    peak: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return f"{self.resident >> 20} MiB, at most {self.peak >> 20} MiB"


def usage(mount: Mount) -> Usage:
    process = Path(f"/proc/{mount.process.pid}")
    lines = (process / "status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return Usage(
        resident=int(status["VmRSS"].split()[0]) * 1024,
        peak=int(status["VmHWM"].split()[0]) * 1024,
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
    )


def begin(mount: Mount) -> None:
    """Let the peak be what is in use now."""
    Path(f"/proc/{mount.process.pid}/clear_refs").write_text("5")


def forget_names() -> bool:
    """Let the kernel forget names it does not use, and tell mounts so, where we may."""
    if os.geteuid() != 0:
        return False
    FORGET.write_text("2")
    return True


def metric(mount: Mount, name: str) -> float:
    """Return one figure of `.tcfs/metrics`."""
    text = (mount.path / ".tcfs" / "metrics").read_text()
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.partition("{")[0].partition(" ")[0] == name
    )
