"""What is in the bucket: keys, documents and the texts they become. Pure functions, no I/O.

This room knows nothing of stores, of the kernel, or of what a claim is for.
"""

from tcfs.wire._errors import InvalidName, Malformed, WireError

__all__ = ["InvalidName", "Malformed", "WireError"]
