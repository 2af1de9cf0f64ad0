"""Claims steps of the tree it is started in when told to, as a shell does after `cd steps/x`.

Reads `[step, when, verb]` a line, claims at that time of the monotonic clock by that verb and
answers `[won, seconds it took]`; for `[step]` it answers who holds the step.
"""

import json
import os
import sys
import time
from pathlib import Path


def create(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def symlink(path: str) -> None:
    os.symlink("note", path)  # noqa: PTH211 - the call is what is tested


VERBS = {"create": create, "mkdir": os.mkdir, "symlink": symlink}

root = Path.cwd()
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    step, *when = json.loads(line)
    if not when:
        print(json.dumps((root / "steps" / step / "owner").read_text().strip()), flush=True)
        continue
    release, verb = when
    os.chdir(root / "steps" / step)
    time.sleep(max(0.0, release - time.monotonic()))
    begun = time.monotonic()
    try:
        VERBS[verb]("claim")
        won = True
    except FileExistsError:
        won = False
    print(json.dumps([won, time.monotonic() - begun]), flush=True)
