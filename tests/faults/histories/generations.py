"""The generation of a step, as its readers and its holders see it: it only rises.

It is the higher one of what the claim says and what the status says. Whoever reads both reads the
claim first: a claim is removed only once the status says its generation.
"""

import errno
from collections.abc import Iterable, Iterator
from typing import Final

from tcfs.project.steps._state import holds
from tcfs.wire.documents import Claim, Status
from tests.faults.histories.checker import Operation
from tests.faults.histories.clients import Client
from tests.faults.histories.history import WON, Recorder

GENERATION: Final = "generation"
TENURE: Final = "tenure"


def look(recorder: Recorder, client: Client, name: str) -> tuple[Claim | None, Status | None]:
    """Read a step's claim and its status, and note the generation of the step."""
    claim: Claim | None = None
    status: Status | None = None

    def read() -> tuple[bool, object]:
        nonlocal claim, status
        told = [client.do("cat", f"steps/{name}/{it}.json") for it in ("claim", "status")]
        one, other = (it.text.encode() if it.done else None for it in told)
        claim = Claim.parse(one) if one else None
        status = Status.parse(other) if other else None
        found = [it.generation for it in (claim, status) if it is not None]
        # To a shell nothing is there while its mount is away.
        known = (0, errno.ENOENT) if client.kind == "library" else (0,)
        return True, max(found) if found and all(it.code in known for it in told) else None

    recorder.record(name, client.agent, GENERATION, client.kind, read)
    return claim, status


def note_tenure(recorder: Recorder, client: Client, name: str, won: Operation) -> None:
    """Note the generation of the tenure that `client` was told to have won."""
    assert won.told == WON
    claim, status = look(recorder, client, name)
    if claim is not None and holds(claim, status, client.agent, None):
        tenure = Operation(client.agent, TENURE, client.kind, claim.generation, won.begin, won.end)
        recorder.add(name, tenure)


def falls(history: Iterable[Operation]) -> Iterator[str]:
    """Yield what is wrong with the generations of one step's history."""
    known = [it for it in history if it.act in (GENERATION, TENURE) and it.told is not None]
    seen = [it for it in known if it.act == GENERATION]
    tenures = [it for it in known if it.act == TENURE]
    for it in seen:
        if (above := _highest_before(it, seen)) and above.told > it.told:
            yield f"the generation fell: {above}, then {it}"
    for number, it in enumerate(tenures):
        if (above := _highest_before(it, known)) and above.told >= it.told:
            yield f"a new tenure's generation is not a new one: {above}, then {it}"
        for other in tenures[:number]:
            if other.told == it.told:
                yield f"two tenures have one generation: {other}, {it}"


def _highest_before(it: Operation, others: Iterable[Operation]) -> Operation | None:
    before = (other for other in others if other.end is not None and other.end < it.begin)
    return max(before, key=lambda other: other.told, default=None)
