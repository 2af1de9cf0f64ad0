"""What a mount counts, for `.tcfs/metrics`. No secret and no path is in it.

The text is Prometheus' (https://prometheus.io/docs/instrumenting/exposition_formats/). Counting
is done in passing, by whoever does the work; what can be looked up is looked up when it is read.
"""

import errno
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, final

from tcfs.project._documents import Documents
from tcfs.project._tenures import Tenures
from tcfs.project._upkeep import Upkeep
from tcfs.project._watch import Watcher
from tcfs.project.outbox import Outbox

BUCKETS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)  # seconds: loopback, a region, trouble

Served = defaultdict[tuple[str, int], int]
"""Requests of the kernel, by name and errno; 0: it went well."""


@final
@dataclass(slots=True)
class _Took:
    """How long the requests of one kind took."""

    sum: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))


@final
@dataclass(frozen=True, slots=True)
class _LookedUp:
    kind: str
    what: str
    labels: str
    read: Callable[[], float]


@final
class Metrics:
    """The figures of one mount."""

    def __init__(self, version: str) -> None:
        self.served: Served = defaultdict(int)
        self._requests: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._took: defaultdict[str, _Took] = defaultdict(_Took)
        self._more: dict[str, list[_LookedUp]] = {}
        began = time.monotonic()
        self.gauge("tcfs_info", "What runs here.", lambda: 1, version=version)
        self.gauge(
            "tcfs_uptime_seconds", "How long it runs.", lambda: round(time.monotonic() - began, 3)
        )

    def asked(self, verb: str, seconds: float, error: Exception | None) -> None:
        """Count a request to the store that was answered, or failed."""
        self._requests[verb, type(error).__name__ if error else "ok"] += 1
        took = self._took[verb]
        took.sum += seconds
        took.counts[bisect_left(BUCKETS, seconds)] += 1

    def gauge(self, name: str, what: str, read: Callable[[], float], **labels: str) -> None:
        """Show what `read` returns, which may go up and down."""
        self._add("gauge", name, what, read, labels)

    def counter(self, name: str, what: str, read: Callable[[], float], **labels: str) -> None:
        """Show what `read` returns, which only goes up."""
        self._add("counter", name, what, read, labels)

    def text(self) -> str:
        """Return all figures."""
        return "".join(f"{line}\n" for line in self._lines())

    def _add(
        self,
        kind: str,
        name: str,
        what: str,
        read: Callable[[], float],
        labels: Mapping[str, str],
    ) -> None:
        shown = _LookedUp(kind, what, _labels(**labels), read)
        self._more.setdefault(name, []).append(shown)

    def _lines(self) -> Iterator[str]:
        for name, several in self._more.items():
            yield from _head(name, several[0].kind, several[0].what)
            for it in several:
                yield f"{name}{it.labels} {it.read()}"
        name = "tcfs_store_requests_total"
        yield from _head(name, "counter", "Requests to the store, and what came of them.")
        for (verb, outcome), count in sorted(self._requests.items()):
            yield f"{name}{_labels(verb=verb, outcome=outcome)} {count}"
        name = "tcfs_store_request_seconds"
        yield from _head(name, "histogram", "How long requests to the store took.")
        for verb, took in sorted(self._took.items()):
            bounds = [*map(str, BUCKETS), "+Inf"]
            for bound, count in zip(bounds, accumulate(took.counts), strict=True):
                yield f"{name}_bucket{_labels(verb=verb, le=bound)} {count}"
            yield f"{name}_sum{_labels(verb=verb)} {took.sum}"
            yield f"{name}_count{_labels(verb=verb)} {sum(took.counts)}"
        name = "tcfs_fuse_operations_total"
        yield from _head(name, "counter", "Requests of the kernel, and what it was told.")
        for (operation, code), count in sorted(self.served.items()):
            outcome = errno.errorcode.get(code, str(code)) if code else "ok"
            yield f"{name}{_labels(operation=operation, outcome=outcome)} {count}"


def show_project(
    metrics: Metrics,
    documents: Documents,
    tenures: Tenures,
    upkeep: Upkeep,
    outbox: Outbox,
    watcher: Watcher,
) -> None:
    """Let `metrics` show what the parts of a project know of themselves."""
    reads = "tcfs_cache_reads_total"
    what = "Reads of documents: by the cache alone, asked and unchanged, fetched."
    metrics.counter(reads, what, lambda: documents.hits, outcome="hit")
    metrics.counter(reads, what, lambda: documents.unchanged, outcome="unchanged")
    metrics.counter(reads, what, lambda: documents.fetched, outcome="fetched")
    metrics.gauge("tcfs_cache_bytes", "What cached documents take.", lambda: documents.size)
    metrics.gauge(
        "tcfs_held", "Steps and locks that this mount holds.", lambda: sum(1 for _ in tenures)
    )
    metrics.counter("tcfs_leases_renewed_total", "Leases renewed.", lambda: upkeep.renewed)
    mail = "tcfs_outbox_messages"
    what = "Mail that waits for the store, and that the store refused."
    metrics.gauge(mail, what, lambda: len(outbox.waiting), state="waiting")
    metrics.gauge(mail, what, lambda: len(outbox.refused), state="refused")
    metrics.counter("tcfs_watcher_ticks_total", "Looks for changes.", lambda: watcher.ticks)


def _head(name: str, kind: str, what: str) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"


def _labels(**labels: str) -> str:
    shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{shown}}}" if shown else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
