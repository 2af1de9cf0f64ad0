"""How the kernel sees the tree. Nothing here knows what a step, a message or a value is."""

from tcfs.fuse.identity import Identity
from tcfs.fuse.mounting import Options, serve
from tcfs.fuse.mountpoints import CannotMount, clear_stale

__all__ = ["CannotMount", "Identity", "Options", "clear_stale", "serve"]
