"""Which keys a directory can hold, and in what order they come."""

from typing import Final

from tcfs.stores._errors import InvalidKey

PRIVATE: Final = b".tcfs-tmp"  # temporaries and locks; no key begins with it

MAX_KEY: Final = 1024  # bytes, as in S3: what is stored here can be moved there
_MAX_NAME: Final = 255  # bytes, Linux's NAME_MAX


def encoded(key: str) -> bytes:
    """Return a key as the relative path it is stored under.

    Raises:
        InvalidKey: no file can have that name.
    """
    try:
        path = key.encode()
    except UnicodeEncodeError:
        raise InvalidKey(f"a key is UTF-8 text; {key!r} is not") from None
    names = path.split(b"/")
    if b"" in names or b"." in names or b".." in names or b"\0" in path:
        raise InvalidKey(f"in a directory, no part of a key is empty, '.' or '..': {key!r}")
    if len(path) > MAX_KEY or max(map(len, names)) > _MAX_NAME:
        raise InvalidKey(f"a key has {MAX_KEY} bytes at most, each part {_MAX_NAME}: {key!r}")
    if names[0] == PRIVATE:
        raise InvalidKey(f"{PRIVATE.decode()}/ is the store's own; choose another name")
    return path


def begun(prefix: str) -> bytes | None:
    """Return a prefix of keys as that of paths; None if no key can begin so."""
    try:
        path = prefix.encode()
    except UnicodeEncodeError:
        return None
    above = path.split(b"/")[:-1]
    # Not a matter of taste: `../` would lead out of the store.
    if b"" in above or b"." in above or b".." in above or b"\0" in path:
        return None
    return None if above[:1] == [PRIVATE] else path


def decoded(path: bytes) -> str | None:
    """Return the key of a relative path; None if it is no text, so no key of ours."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return None
