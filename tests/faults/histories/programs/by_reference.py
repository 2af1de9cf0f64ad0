"""The reference's own library, in its environment: many agents in one process claim steps.

Reads `{"id", "agent", "path"}` a line and answers `{"id", "code", "text"}`: code 0, it claimed the
step as its command does; 17 (EEXIST), it was told that somebody else has; 5 (EIO), anything else.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tracecraft.s3 import S3, PreconditionFailed

store = S3.from_config()
answering = threading.Lock()


def claim(agent, step):
    now = datetime.now(UTC).isoformat()
    try:
        claim = {"agent": agent, "claimed_at": now}
        store.put_json(f"steps/{step}/claim.json", claim, if_none_match=True)
    except PreconditionFailed:
        return 17, "held"
    status = {"status": "in_progress", "agent": agent, "started_at": now}
    store.put_json(f"steps/{step}/status.json", status)
    return 0, ""


def answer(request):
    try:
        code, text = claim(request["agent"], request["path"].split("/")[1])
    except Exception as error:  # whatever its client meets: it is not told what became of it
        code, text = 5, repr(error)
    with answering:
        print(json.dumps({"id": request["id"], "code": code, "text": text}), flush=True)


print(json.dumps("ready"), flush=True)
with ThreadPoolExecutor(32) as threads:
    for line in sys.stdin:
        threads.submit(answer, json.loads(line))
