"""Directories that a mount remembers, since an object store has none; without a final `/`."""

from collections.abc import Sequence
from typing import Final, final

REMOVED: Final = 10_000  # directories: a service lists a removed one for a while, not for ever


@final
class Directories:
    """Directories that this mount remembers."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._removed: dict[str, None] = {}  # the latest last

    def has(self, key: str) -> bool:
        """Tell whether it is remembered."""
        return key in self._names

    def add(self, key: str) -> None:
        """Remember one that was made, and those above: others may remove what else is in them."""
        self._names.add(key)
        self.keep(key)

    def drop(self, key: str) -> None:
        """Forget one that was removed."""
        self._names.discard(key)
        self._removed[key] = None
        if len(self._removed) > REMOVED:
            del self._removed[next(iter(self._removed))]

    def was_removed(self, key: str) -> bool:
        """Tell whether it was removed here, and may be listed still."""
        return key in self._removed

    def is_back(self, key: str) -> None:
        """Take note that something is in it again."""
        self._removed.pop(key, None)

    def keep(self, key: str) -> None:
        """Keep the directories above `key`: what was in them may have been the last thing."""
        while key := key.rpartition("/")[0]:
            self._names.add(key)

    def listed(self, prefix: str, names: Sequence[str]) -> None:
        """Take note of what the store lists below `prefix`: what it lists no more needs no care."""
        there = {f"{prefix}{name}" for name in names}
        above = prefix.rstrip("/")
        for key in self._removed.keys() - there:
            if key.rpartition("/")[0] == above:
                del self._removed[key]

    def below(self, prefix: str) -> Sequence[str]:
        """Return the names directly below a prefix."""
        rest = (it[len(prefix) :] for it in self._names if it.startswith(prefix))
        return [*dict.fromkeys(it.partition("/")[0] for it in rest)]
