"""Which directories another machine may write to, as the table of mounts tells."""

import os
import re
from pathlib import Path
from typing import Final, Self, final

TABLE: Final = Path("/proc/self/mountinfo")
# Through FUSE goes what may be anywhere.
_SHARED: Final = re.compile(
    r"9p|afs|beegfs|ceph|cifs|coda|fuse(\..*)?|gfs2|glusterfs|gpfs|lustre|nfs4?|ocfs2|orangefs"
    r"|smb3|smbfs|vboxsf|virtiofs"
)
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


@final
class Shares:
    """The file systems of this machine whose files another machine may change.

    Nothing tells this kernel of that. Only types that are known for it count.
    """

    def __init__(self, table: str) -> None:
        """Read a table of mounts.

        proc_pid_mountinfo(5): the mount point is the fifth field, the type follows a lonely dash.
        """
        self._types: dict[str, str] = {}
        for line in table.splitlines():
            before, _, after = line.partition(" - ")
            point = _ESCAPED.sub(lambda it: chr(int(it[1], 8)), before.split(" ")[4])
            self._types[point] = after.split(" ")[0]  # of two at one point the last is the upper

    @classmethod
    def now(cls) -> Self:
        """Return what is mounted now; nothing, where that cannot be told."""
        try:
            return cls(TABLE.read_text(errors="surrogateescape"))
        except OSError:
            return cls("")

    def holds(self, directory: Path) -> bool:
        """Tell whether a directory lies on one of them."""
        real = os.path.realpath(directory)
        while real not in self._types and real != "/":
            real = os.path.dirname(real)  # noqa: PTH120 - text, as the points are
        return _SHARED.fullmatch(self._types.get(real, "")) is not None
