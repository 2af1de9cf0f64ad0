"""What redaction knows of each session, kept on this host for the next start.

A secret that was seen once is replaced ever after, restarts or not. Kept are digests, under a key
that does not leave this host either; where they are lost, the source is read again from its start.
Blocking code, for a worker thread.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, final

from tcfs.mirror.redaction import Redactor
from tcfs.mirror.sources import Session
from tcfs.project._local import write_private

KEY: Final = 32  # bytes


@final
class Kept:
    """The redactors of all sessions of this user on this host."""

    def __init__(self, directory: Path, literals: Callable[[], Iterable[str]] = tuple) -> None:
        """`literals` tells what is replaced in every session: the credentials of the mount itself.

        It is asked again for whatever is new, since they are refreshed.
        """
        self._directory = directory
        self._literals = literals

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
        write_private(temporary, "".join(f"{it}\n" for it in seen).encode())
        temporary.replace(path)

    def remind(self, redactor: Redactor) -> None:
        """Tell a redactor of the credentials of by now."""
        redactor.replace_always(self._literals())

    def _made(self, seen: Iterable[str]) -> Redactor:
        return Redactor(seen=seen, key=self._key())

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
