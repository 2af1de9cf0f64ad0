"""Listings that show late what was stored, as an eventually consistent service's do.

Everything else is as of now: who gets an object gets the newest.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Final, final
from urllib.parse import parse_qs, unquote, urlsplit

from tests.proxy import Answer, Request, Rule

Late = Callable[[str, str], bool]
"""Tells of a key whether a listing of that prefix lacks it."""

_SHOWN: Final = re.compile(
    rb"<Contents>.*?<Key>(.*?)</Key>.*?</Contents>"
    rb"|<CommonPrefixes>.*?<Prefix>(.*?)</Prefix>.*?</CommonPrefixes>",
    re.DOTALL,
)


def lagging(late: Late) -> Rule:
    """Leave out of listings what is `late`."""

    def rule(request: Request) -> Answer | None:
        query = parse_qs(urlsplit(request.target).query)
        if request.method != "GET" or "list-type" not in query:
            return None
        prefix = query.get("prefix", [""])[0]
        encoded = "encoding-type" in query

        def shown(found: re.Match[bytes]) -> bytes:
            text = unescape((found[1] or found[2]).decode())
            return b"" if late(unquote(text) if encoded else text, prefix) else found[0]

        said = request.forward()
        return replace(said, body=_SHOWN.sub(shown, said.body))

    return rule


@final
class Behind:
    """A rule: what was stored through it shows in listings some `seconds` later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._stored: dict[str, float] = {}
        self._lock = threading.Lock()
        self._rule = lagging(self._late)

    def __call__(self, request: Request) -> Answer | None:
        if request.method == "PUT":
            with self._lock:
                self._stored.setdefault(request.key, time.monotonic())
        return self._rule(request)

    def _late(self, key: str, prefix: str) -> bool:
        with self._lock:
            # A directory shows with the first of what it holds.
            times = [at for it, at in self._stored.items() if it == key or it.startswith(key)]
        return bool(times) and time.monotonic() - min(times) < self._seconds
