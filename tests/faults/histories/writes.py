"""When the store took claims and locks: a rule for the proxy, which lets all of it pass.

From then on their leases run, whatever their mounts know of it.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from tcfs.wire import Malformed, keys
from tcfs.wire.documents import Claim
from tcfs.wire.locks import Lock
from tests.faults.histories.checker import Operation
from tests.proxy import Answer, Request, Upstream


@final
@dataclass(frozen=True, slots=True)
class Written:
    """A write that began a lease, or began it anew; `begin` is when it was passed to the store."""

    agent: str
    tenure: str
    begin: int


@final
class Writes:
    """What the store took of one project's claims and locks."""

    def __init__(self, project: str) -> None:
        self._prefix: Final = f"{project}/"
        self._lock = threading.Lock()
        self._taken: defaultdict[str, list[Written]] = defaultdict(list)

    def __call__(self, request: Request) -> None:
        """Look on: whatever becomes of the request, what is passed on goes through here."""
        key = request.key.removeprefix(self._prefix)
        if request.method == "PUT" and _name(key) is not None:
            request.upstream = _Watched(request.upstream, self, key)

    def take(self, key: str, body: bytes, begin: int) -> None:
        """Note what the store took."""
        try:
            found = (Claim if keys.lock_of(key) is None else Lock).parse(body)
        except Malformed:
            return
        name = _name(key)
        if name is not None and found.id is not None and found.lease is not None:
            with self._lock:
                self._taken[name].append(Written(found.agent, found.id, begin))

    def of(self, name: str) -> Sequence[Written]:
        """Return what was written of a step or a lock, in order."""
        with self._lock:
            return sorted(self._taken[name], key=lambda it: it.begin)


def last(claim: Operation, written: Sequence[Written]) -> int:
    """Return when the lease of a claim that was won was last begun: no earlier than that.

    If the store is not known to have taken it, when it was asked for.
    """
    assert claim.end is not None
    tenures = {it.tenure: it for it in reversed(written) if it.agent == claim.who}  # the first
    begun = [it for it in tenures.values() if claim.begin <= it.begin <= claim.end]
    if not begun:
        return claim.begin
    ours = max(begun, key=lambda it: it.begin).tenure
    return max(it.begin for it in written if it.tenure == ours)


@final
class _Watched:
    """The service behind; what it takes is noted."""

    def __init__(self, upstream: Upstream, writes: Writes, key: str) -> None:
        self._upstream = upstream
        self._writes = writes
        self._key = key

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        begin = time.monotonic_ns()
        answer = self._upstream.ask(method, target, headers, body)
        if answer.status == 200:
            self._writes.take(self._key, body, begin)
        return answer


def _name(key: str) -> str | None:
    if (lock := keys.lock_of(key)) is not None:
        return lock
    return keys.step_of(key) if key.endswith("/claim.json") else None
