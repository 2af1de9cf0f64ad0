"""Mirrors that are killed, of sources that do as they like, into a store that fails.

At length: `python -m tests.faults.mirrors.fire --seconds 600`; a run that failed is made again by
the seed that it printed, as far as chance goes: processes and requests take turns as they come.
"""

import os
from pathlib import Path
from typing import Final

from tests.faults.mirrors.fire import Fire
from tests.servers import Account

SECONDS: Final = float(os.environ.get("TCFS_FIRE_SECONDS", "8"))
SEED: Final = int(os.environ.get("TCFS_FIRE_SEED", "0"))


def test_every_complete_line_is_there_once_and_in_order(
    home: Path, seaweed: Account, project: str
) -> None:
    """A transcript that was truncated or rewritten begins anew; what was stored before stays in
    `parts/`.

    And every complete line of each generation is there once, in order, while three mounts mirror
    the same, are killed, and the store fails one request in ten.
    """
    fire = Fire(home, seaweed, project, SEED)
    fire.run(SECONDS)
    assert fire.kills >= 3
    assert fire.generations > len(fire.sessions)
