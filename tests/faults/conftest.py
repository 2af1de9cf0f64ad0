"""What the tests under faults share."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Only root can be several users.
collect_ignore = [] if os.geteuid() == 0 else ["limits/test_as_root.py", "security/test_as_root.py"]


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a directory with a short path: a mount point is in every message."""
    with tempfile.TemporaryDirectory(prefix="tcfs-", ignore_cleanup_errors=True) as path:
        yield Path(path)
