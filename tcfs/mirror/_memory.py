"""What large buffers take is given back, so that a long transcript takes no more than a short one.

glibc serves what is as large as anything that was freed before from heaps, one for each thread, and
those shrink from their ends only: the parts of a transcript, 1 MiB each and read and written by
several threads, leave them full of holes.
"""

import ctypes
from contextlib import suppress
from typing import Final

_M_MMAP_THRESHOLD: Final = -3  # <malloc.h>
_M_ARENA_MAX: Final = -8
LARGE: Final = 256 << 10  # bytes
HEAPS: Final = 2


def give_back() -> None:
    """Let what is large be mapped by itself from now on, and threads share heaps, in all of this
    process.

    mallopt(3): a threshold that was set no longer rises. Elsewhere than in glibc there is none.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_ARENA_MAX, HEAPS)
