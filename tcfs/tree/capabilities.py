"""`.tcfs/capabilities`: what the store proved, what follows, and what a mixed fleet can rely on."""

from typing import Final

from tcfs.stores import Capabilities

_CLAIMS: Final = {
    "atomic": "claims: atomic, one agent wins whatever host or tool the others use",
    "best-effort": "claims: BEST EFFORT, two agents that claim or lock at the same time may both "
    "win (--claims=best-effort); so may two creations, and concurrent appends may lose a line",
    "refused": "claims: refused, as is all that needs what is missing: locks, O_EXCL, appends; "
    "mount with --claims=best-effort to have them all the same, unsafely",
    None: "claims: sent as conditional writes; nobody has looked what this store does with them",
}
_SHARED: Final = {
    True: "reach: whoever has the bucket",
    False: "reach: this host only, the store is a local directory",
}
_MIXED: Final = (
    "mixed fleet: `complete` of tracecraft-ai is unconditional, it can land on a step that has "
    "moved on",
    "mixed fleet: `claim` of tracecraft-ai may start a step that was finished without a claim",
    "mixed fleet: tracecraft-ai ignores leases, tenures and results",
)
_TOMBSTONE: Final = (
    "mixed fleet: a step that is given back keeps its claim, marked as released, since this store "
    "cannot delete on a condition: tcfs can claim it, tracecraft-ai sees it as taken",
)


def capabilities_text(store: Capabilities) -> str:
    """Return the text, one fact a line."""
    lines = [
        *store.facts,
        _CLAIMS[store.claims],
        _SHARED[store.shared],
        *_MIXED,
        *(() if store.delete else _TOMBSTONE),
    ]
    return "".join(f"{line}\n" for line in lines)
