"""`python -m tests.faults.requests`: every fault, at each request of an upload in parts."""

import sys
from itertools import product

from tests.faults.requests.kinds import NAMED
from tests.faults.requests.uploads import RULES, rows, tried
from tests.servers import SeaweedFS

if __name__ == "__main__":
    cases = product(("begin", "part", "finish", "abort"), NAMED, (1, None), (False, True))
    with SeaweedFS() as server:
        done = tried(server.account, "large-files", rows(cases))
    broken = [(rule.__name__, it) for rule in RULES for it in done if not rule(it)]
    print(f"{len(done)} uploads, {sum(it.met for it in done)} requests met a fault", flush=True)
    for name, row in broken:
        print(f"not {name}: {row}")
    sys.exit(bool(broken))
