"""Any JSON Lines file that a tool without an adapter appends to."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tcfs.mirror.sources._base import Session
from tcfs.mirror.sources._files import Scan, Stamp, objects, text
from tcfs.mirror.sources._transcripts import Transcripts

NAME: Final = "file"


def file(path: Path, root: Path) -> Transcripts:
    """Return one file as a session of `root`, whatever the file says: it was asked for by name.

    Its id is its name and eight digits of its path, so that `log.jsonl` of two projects are two.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a link's target may be replaced

    def find(scan: Scan) -> Iterator[tuple[Path, Stamp]]:
        return scan.files(path.parent, lambda name: name == path.name)

    return Transcripts(NAME, find, lambda it: _describe(it, root))


def _describe(path: Path, root: Path) -> Session:
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    name = path.name.removesuffix(".zst").removesuffix(".jsonl")
    head: Mapping[str, Any] = next(objects(path), {})
    started = text(head.get("timestamp"))
    return Session(NAME, f"{name}-{digest}", path, cwd=str(root), started_at=started)
