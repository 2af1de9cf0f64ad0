"""What documents say apart from that somebody is still there, as it was last seen.

A heartbeat writes an agent's document anew, and a renewal a claim or a lock: nothing has changed
for who follows what happens.
"""

from dataclasses import replace
from typing import final

from tcfs.stores import Object
from tcfs.wire import Malformed, keys
from tcfs.wire.documents import Agent, Claim
from tcfs.wire.locks import Lock


@final
class Beats:
    """Tells a beat from a change, of the documents it was shown before."""

    def __init__(self) -> None:
        self._said: dict[str, Agent | Claim | Lock] = {}

    def is_beat(self, key: str, found: Object | None) -> bool:
        """Tell whether a document says nothing new; and remember it. None: there is none."""
        before = self._said.pop(key, None)
        now = _said(key, found.body) if found is not None else None
        if now is None:
            return False
        self._said[key] = now
        return now == before

    def said(self, key: str) -> Agent | Claim | Lock | None:
        """Return what a document said when it was last shown, without what a beat changes."""
        return self._said.get(key)

    def clear(self) -> None:
        """Forget all."""
        self._said.clear()


def is_agent(key: str) -> bool:
    """Tell whether a key is that of an agent's document."""
    return key.startswith(keys.AGENTS) and key.endswith(".json")


def is_claim(key: str) -> bool:
    """Tell whether a key is that of a claim."""
    return key.startswith(keys.STEPS) and key.endswith("/claim.json")


def is_lock(key: str) -> bool:
    """Tell whether a key is that of a lock."""
    return keys.lock_of(key) is not None


def _said(key: str, body: bytes) -> Agent | Claim | Lock | None:
    try:
        if is_agent(key):
            return replace(Agent.parse(body), heartbeat=None)
        if is_claim(key):
            return replace(Claim.parse(body), nonce=None, lease=None)
        if is_lock(key):
            return replace(Lock.parse(body), nonce=None, lease=None)
    except Malformed:
        return None
    return None
