"""Who asked, and for which path, told from a request's arguments; for `.tcfs/errors`.

None of these may fail: they are asked when a request has failed already.
"""

from typing import Protocol

from pyfuse3 import RequestContext

from tcfs.fuse.guard import Where
from tcfs.fuse.handles import OpenFiles
from tcfs.fuse.identity import Identity
from tcfs.fuse.inodes import Inodes
from tcfs.fuse.listings import Listings


class Tables(Protocol):
    """What a mount knows of its requests."""

    identity: Identity
    inodes: Inodes
    files: OpenFiles
    listings: Listings


def named(tables: Tables, inode: int, name: bytes, *rest: object) -> Where:
    """Tell it of a request for a name in a directory."""
    path = f"{tables.inodes.path(inode).rstrip('/')}/{text(name)}"
    return tables.identity.acting(path, _pid(rest)), path


def by_inode(tables: Tables, inode: int, *rest: object) -> Where:
    """Tell it of a request for an inode."""
    path = tables.inodes.path(inode)
    return tables.identity.acting(path, _pid(rest)), path


def by_file(tables: Tables, fh: int, *_: object) -> Where:
    """Tell it of a request on an open file: whoever opened it asks."""
    file = tables.files.get(fh)
    if file is None:
        return nowhere(tables)
    return tables.identity.acting(file.path, file.caller.pid), file.path


def by_listing(tables: Tables, fh: int, *_: object) -> Where:
    """Tell it of a request on an open directory."""
    listing = tables.listings.get(fh)
    if listing is None:
        return nowhere(tables)
    return tables.identity.acting(listing.node.path, 0), listing.node.path


def nowhere(tables: Tables, *_: object) -> Where:
    """Tell it of a request for the whole file system."""
    return tables.identity.default.agent, "/"


def text(name: bytes) -> str:
    """Return a name as text; names are UTF-8 by convention only, the tree refuses what is not."""
    return name.decode(errors="surrogateescape")


def _pid(rest: tuple[object, ...]) -> int:
    return rest[-1].pid if rest and isinstance(rest[-1], RequestContext) else 0
