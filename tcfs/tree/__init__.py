"""How the project looks: directories and files, kernel-free."""

from tcfs.tree._base import Attributes, Caller, Directory, File, Handle, Kind, Link, Node, OpenMode
from tcfs.tree._root import MountInfo, root
from tcfs.tree.refusals import Refusals

__all__ = [
    "Attributes",
    "Caller",
    "Directory",
    "File",
    "Handle",
    "Kind",
    "Link",
    "MountInfo",
    "Node",
    "OpenMode",
    "Refusals",
    "root",
]
