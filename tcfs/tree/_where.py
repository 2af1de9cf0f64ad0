"""Where the tree shows an object: the way from a key back to a path."""

from typing import Final

from tcfs.tree.artifacts import OWN
from tcfs.wire import InvalidName, keys
from tcfs.wire.ids import agent_id, is_control, mailbox

_STEP: Final = frozenset({"claim.json", "status.json", "handoff.json", "after.json"})
_PLAIN: Final = frozenset({"artifacts", "sessions"})  # as they lie in the bucket
_VIEWS: Final = frozenset({"README", "status", "status.json", "board.html"})  # hide such objects


def path_of(key: str) -> str | None:
    """Return the path in the tree of the object at `key`, without a `/` before it.

    What only `.tcfs/raw` shows has its path there; None: no path leads to it.
    """
    if any(it in ("", ".", "..") for it in key.split("/")) or is_control(key):
        return None
    return _own(key) or f".tcfs/raw/{key}"


def _own(key: str) -> str | None:
    top, _, rest = key.partition("/")
    if top in _PLAIN or (top not in OWN and rest):
        return key
    name = rest.removesuffix(".json")
    try:
        match top:
            case "steps" if keys.step_of(key) is not None:
                leaf = key.rpartition("/")[2]
                return key.removesuffix(".json") if leaf in _STEP else key
            case "memory" if (dotted := keys.memory_of(key)) is not None:
                return f"memory/{keys.memory_name(dotted)}"
            case "agents" if name != rest:
                return f"agents/{agent_id(name)}"
            case "locks" if (lock := keys.lock_of(key)) is not None:
                return f"locks/{lock}"
            case "messages" if name != rest and name.count("/") == 1:
                box, _, leaf = name.partition("/")
                return f"messages/{mailbox(box)}/{leaf}" if keys.is_leaf(leaf) else None
    except InvalidName:
        return None
    return None if top in OWN or key in _VIEWS else key
