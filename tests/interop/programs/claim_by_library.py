"""Runs in the reference's environment: its own library, claiming steps when told to.

Reads `[step, when]` a line, claims at that time of the monotonic clock and answers
`[won, seconds it took]`; for `[step]` it answers who holds the step.
"""

import json
import sys
import time
from datetime import UTC, datetime

from tracecraft.config import load_config
from tracecraft.s3 import S3, PreconditionFailed

agent = load_config()["agent_id"]
store = S3.from_config()
store.get_json("agents/nobody.json")  # the connection is there before the race
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    step, *when = json.loads(line)
    if not when:
        print(json.dumps(store.get_json(f"steps/{step}/claim.json")["agent"]), flush=True)
        continue
    now = datetime.now(UTC).isoformat()
    time.sleep(max(0.0, when[0] - time.monotonic()))
    begun = time.monotonic()
    try:
        claim = {"agent": agent, "claimed_at": now}
        store.put_json(f"steps/{step}/claim.json", claim, if_none_match=True)
        won = True
    except PreconditionFailed:
        won = False
    took = time.monotonic() - begun
    if won:
        status = {"status": "in_progress", "agent": agent, "started_at": now}
        store.put_json(f"steps/{step}/status.json", status)
    print(json.dumps([won, took]), flush=True)
