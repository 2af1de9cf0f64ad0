"""An object store with conditions, as a dict: what every store must look like (stores/_base.py)."""

from dataclasses import dataclass, field
from typing import final


class Absent(Exception):
    """There is no such object."""


class Lost(Exception):
    """The condition did not hold."""


@final
@dataclass
class Bucket:
    """Bodies by key, and which write each is of: the number of a write is an ETag of the model."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    written: dict[int, bytes] = field(default_factory=dict)
    writes: int = 0

    def get(self, key: str) -> bytes:
        if key not in self.bodies:
            raise Absent
        return self.bodies[key]

    def put(
        self, key: str, body: bytes, *, absent: bool = False, version: int | None = None
    ) -> int:
        if absent and key in self.bodies:
            raise Lost
        self._compare(key, version)
        self.writes += 1
        self.versions[key], self.bodies[key] = self.writes, body
        self.written[self.writes] = body
        return self.writes

    def delete(self, key: str, *, version: int | None = None) -> None:
        self._compare(key, version)
        self.bodies.pop(key, None)
        self.versions.pop(key, None)

    def copy(self, source: str, target: str) -> None:
        self.put(target, self.get(source))

    def list(self, prefix: str, after: str | None = None) -> list[str]:
        found = [it for it in self.bodies if it.startswith(prefix) and (after or "") < it]
        return sorted(found, key=str.encode)

    def level(self, prefix: str) -> tuple[set[str], set[str]]:
        below = [it[len(prefix) :] for it in self.bodies if it.startswith(prefix)]
        names = {it.partition("/")[0] for it in below if "/" in it}
        return names, {prefix + it for it in below if "/" not in it}

    def is_sure(self, key: str, version: int) -> bool:
        """Tell whether every store knows such a version from what is there.

        An ETag may be of the content alone: what is written again as it was may have its ETag.
        """
        same = self.bodies.get(key) == self.written[version]
        return not same or self.versions[key] == version

    def _compare(self, key: str, version: int | None) -> None:
        if version is not None and self.versions.get(key) != version:
            raise Lost
