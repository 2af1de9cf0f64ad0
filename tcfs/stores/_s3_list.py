"""Listings: through obstore while it tells the truth, through boto3 from there on.

obstore takes a prefix for a directory, raises for a whole listing when one key has a form it
cannot parse, shows the markers `dir/` that consoles make as an object `dir`, and reads control
characters that were not percent-encoded as U+FFFD. A page that may hold any of these is asked for
again through boto3, four times slower, and so is the rest of that listing. (A marker that has
content looks like any object; none of the consoles known to us makes such.)
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, final

import obstore
from obstore.exceptions import InvalidPathError

from tcfs.stores._base import Entry
from tcfs.stores._s3_account import Clients
from tcfs.stores._s3_control import (
    Control,
    Position,
    is_plain,
    nanoseconds,
    same_again,
    unquoted,
)

if TYPE_CHECKING:
    from obstore import ObjectMeta

PAGE: Final = 1000
_CROWD: Final = 100  # keys; below it a whole LIST by obstore beats boto3's MaxKeys=1


@final
class Listing:
    """One listing under way, of keys of the bucket. Blocks; `page` may be repeated if it failed."""

    def __init__(self, clients: Clients, prefix: str, after: str | None) -> None:
        self._clients = clients
        self._prefix = prefix
        self._after = after
        self._by_obstore = _is_directory(prefix) and (after is None or is_plain(after))
        self._position = _after(after)
        self._pages: Iterator[Sequence[ObjectMeta]] | None = None

    def page(self) -> list[Entry]:
        """Return the next page; an empty one is the end.

        Raises what obstore or botocore raise.
        """
        if self._by_obstore:
            page = self._from_obstore()
            if page is not None:
                return page
            self._by_obstore = False
            self._position = _after(self._after)
        if self._position is None:
            return []
        page, self._position = Control(self._clients).page(self._prefix, self._position, PAGE)
        return page

    def _from_obstore(self) -> list[Entry] | None:
        if self._pages is None:
            self._pages = obstore.list(
                self._clients.reads(),
                self._prefix.rstrip("/") or None,
                offset=self._after,
                chunk_size=PAGE,
            )
        try:
            found = next(self._pages, [])
        except InvalidPathError:
            return None
        except BaseException:
            self._pages = None  # a stream that failed yields no more: begin after the last page
            raise
        page = [entry_of(meta) for meta in found]
        if not _is_true(page, self._prefix):
            return None
        if page:
            if page[-1].key == self._after:
                raise same_again()
            self._after = page[-1].key
        return page


def level(clients: Clients, prefix: str) -> tuple[list[str], list[Entry]]:
    """Return the names and the objects one level below `prefix`, which ends in `/` or is empty."""
    if _is_directory(prefix) and (shown := _level_by_obstore(clients, prefix)) is not None:
        return shown
    prefixes, entries = Control(clients).level(prefix)
    names = [path[len(prefix) : -1] for path in prefixes]
    # No path can name the others: `a//b` has an empty name, `a/../b` another meaning.
    return (
        [name for name in names if "/" not in name and name not in ("", ".", "..")],
        [entry for entry in entries if entry.key != prefix],
    )


def _level_by_obstore(clients: Clients, prefix: str) -> tuple[list[str], list[Entry]] | None:
    try:
        found = obstore.list_with_delimiter(clients.reads(), prefix.rstrip("/") or None)
    except InvalidPathError:
        return None
    entries = [entry_of(meta) for meta in found["objects"]]
    paths = found["common_prefixes"]
    if not _is_true(entries, prefix) or not all(it.startswith(prefix) for it in paths):
        return None
    return [path.rpartition("/")[2] for path in paths], entries


@final
class Presence:
    """Tells whether there is any key under a prefix, by the cheaper of two ways.

    obstore has no MaxKeys, so a LIST of a full directory moves 1000 keys (9 ms here) where boto3
    takes 1.7 ms for any; but for the usual few keys obstore takes 0.6 ms. A prefix that turned
    out crowded is remembered.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._crowded: set[str] = set()

    def any_under(self, prefix: str) -> bool:
        """Tell whether at least one key begins with `prefix`. Blocks."""
        if _is_directory(prefix) and prefix not in self._crowded:
            pages = obstore.list(
                self._clients.reads(), prefix.rstrip("/") or None, chunk_size=_CROWD
            )
            try:
                first = next(pages, [])
            except InvalidPathError:
                return True  # there was a key to fail on
            if len(first) == _CROWD and len(self._crowded) < 1000:
                self._crowded.add(prefix)
            return bool(first)
        page, _ = Control(self._clients).page(prefix, {}, 1)
        return bool(page)


def entry_of(meta: "ObjectMeta") -> Entry:
    """Return what obstore says of an object."""
    modified = nanoseconds(meta["last_modified"])
    return Entry(meta["path"], unquoted(meta["e_tag"]), meta["size"], modified)


def _after(key: str | None) -> Position | None:
    return {} if key is None else {"StartAfter": key}


def _is_directory(prefix: str) -> bool:
    return not prefix or (prefix.endswith("/") and is_plain(prefix[:-1]))


def _is_true(page: Sequence[Entry], prefix: str) -> bool:
    return all(
        entry.size and "\ufffd" not in entry.key and entry.key.startswith(prefix) for entry in page
    )
