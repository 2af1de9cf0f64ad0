"""What redaction knows of each session, kept on this host for the next start.

A secret that was seen once is replaced ever after, restarts or not. Kept are digests, under a key
that does not leave this host either; where they are lost, the source is read again from its start.
Blocking code, for a worker thread.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final, final

from tcfs.mirror.redaction import Redactor
from tcfs.mirror.sources import Session

KEY: Final = 32  # bytes


@final
class Kept:
    """The redactors of all sessions of this user on this host."""

    def __init__(self, directory: Path, literals: Iterable[str] = ()) -> None:
        """`literals` are replaced in every session: the credentials of the mount itself."""
        self._directory = directory
        self._literals = tuple(literals)

    def redactor(self, session: Session) -> tuple[Redactor, bool]:
        """Return the redactor of a session, and whether what it saw before is known.

        Raises OSError.
        """
        try:
            seen = self._path(session).read_text().splitlines()
            return self._made(seen), True
        except (FileNotFoundError, ValueError):  # never kept here, or by another version
            return self._made(()), False

    def keep(self, session: Session, seen: Iterable[str]) -> None:
        """Keep what a redactor has seen, as its `digests` tells; raises OSError."""
        path = self._path(session)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text("".join(f"{it}\n" for it in seen))
        temporary.replace(path)

    def _made(self, seen: Iterable[str]) -> Redactor:
        return Redactor(literals=self._literals, seen=seen, key=self._key())

    def _path(self, session: Session) -> Path:
        name = hashlib.sha256(
            f"{session.harness}/{session.id}".encode(errors="surrogateescape")
        ).hexdigest()
        return self._directory / f"{name[:32]}.seen"

    def _key(self) -> bytes:
        path = self._directory / "key"
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            found = path.read_bytes()
            if len(found) == KEY:
                return found
            path.unlink(missing_ok=True)  # cut short by a crash: nothing was kept under it
            return self._key()
        with os.fdopen(descriptor, "wb") as file:
            file.write(key := secrets.token_bytes(KEY))
        return key
