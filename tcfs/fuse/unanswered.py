"""Look-ups that got no answer from the store, which the kernel asks for twice.

A name that it knows it looks up to see whether that is still so, and where that fails it forgets
the name and looks it up anew (fs/fuse/dir.c, fuse_dentry_revalidate). Each of the two would take
its whole deadline, and one `open` twice what it may.
"""

from typing import Final, final

import trio

from tcfs.stores import Unavailable

AGAIN: Final = 0.5  # seconds in which the same question gets the same answer


@final
class Unanswered:
    """The look-ups that failed a moment ago, by directory and name."""

    def __init__(self) -> None:
        self._failed: dict[tuple[int, bytes], tuple[float, Unavailable]] = {}

    def note(self, parent: int, name: bytes, error: Unavailable) -> None:
        """Take note of one that failed."""
        now = trio.current_time()
        self._failed = {it: of for it, of in self._failed.items() if now - of[0] <= AGAIN}
        self._failed[parent, name] = now, error

    def check(self, parent: int, name: bytes) -> None:
        """Raise again what this very look-up raised a moment ago, for the kernel's second one."""
        failed = self._failed.pop((parent, name), None)
        if failed is not None and trio.current_time() - failed[0] <= AGAIN:
            raise failed[1]
