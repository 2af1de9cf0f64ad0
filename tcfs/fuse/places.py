"""Who asked, and for which path, told from a request's arguments; for `.tcfs/errors`."""

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
    path = tables.inodes.directory(inode).child(text(name))
    return tables.identity.acting(path, _pid(rest)), path


def by_inode(tables: Tables, inode: int, *rest: object) -> Where:
    """Tell it of a request for an inode."""
    path = tables.inodes.node(inode).path
    return tables.identity.acting(path, _pid(rest)), path


def by_file(tables: Tables, fh: int, *_: object) -> Where:
    """Tell it of a request on an open file: whoever opened it asks."""
    file = tables.files[fh]
    return tables.identity.acting(file.path, file.caller.pid), file.path


def by_listing(tables: Tables, fh: int, *_: object) -> Where:
    """Tell it of a request on an open directory."""
    path = tables.listings[fh].node.path
    return tables.identity.acting(path, 0), path


def nowhere(tables: Tables, *_: object) -> Where:
    """Tell it of a request for the whole file system."""
    return tables.identity.default.agent, "/"


def text(name: bytes) -> str:
    """Return a name as text; names are UTF-8 by convention only, the tree refuses what is not."""
    return name.decode(errors="surrogateescape")


def _pid(rest: tuple[object, ...]) -> int:
    return rest[-1].pid if rest and isinstance(rest[-1], RequestContext) else 0
