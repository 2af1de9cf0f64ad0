"""What stores were found to do, kept for a day or an hour in this user's cache.

Whoever could write there could make claims of a store that decides none, and whoever could read
it would learn of buckets: the directory and its files are this user's alone.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tcfs
from tcfs.cli._places import cache_home
from tcfs.stores.probe import Findings
from tcfs.wire import Malformed, json
from tcfs.wire.times import nanoseconds

KEPT: Final = 86_400 * 1_000_000_000  # nanoseconds: stores.md, the probe
# Where some requests of the races were not answered within the deadline: a mount goes on with such
# findings, and it would not do for each command to try out the store anew.
KEPT_UNSURE: Final = 3_600 * 1_000_000_000


def path_of(service: str, environ: Mapping[str, str]) -> Path:
    """Return the file for a bucket of a service, as this version of tcfs sees it."""
    digest = hashlib.sha256(f"{tcfs.__version__}\n{service}".encode()).hexdigest()[:32]
    return cache_home(environ) / "probes" / f"{digest}.json"


def read(path: Path) -> Findings | None:
    """Return what was found lately; None where there is nothing to trust."""
    try:
        found = path.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return None
        findings = Findings.of_json(json.load_object(path.read_bytes()))
    except (OSError, Malformed, KeyError, TypeError):  # by another version, or half written
        return None
    taken = nanoseconds(findings.taken)
    age = time.time_ns() - taken if taken is not None else KEPT
    return findings if 0 <= age < (KEPT if findings.sure else KEPT_UNSURE) else None


def write(path: Path, findings: Findings) -> None:
    """Keep findings, whole or not at all; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # mkdir gives `mode` to the last one only, and changes none that is there.
    for directory in (path.parent.parent, path.parent):
        directory.chmod(0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent)  # 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dump(findings.to_json()) + b"\n")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
