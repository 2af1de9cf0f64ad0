"""What the bytes of the bucket, or a name meant for it, can be wrong about."""


class WireError(ValueError):
    """The base of this module's errors; the text says what to do instead."""


class Malformed(WireError):
    """An object is not a document of the layout."""


class InvalidName(WireError):
    """A name that may not become an id or a key."""
