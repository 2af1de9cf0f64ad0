"""What was found before in a session, so that it is found again without the name it first had.

In memory these are the secrets themselves. What is kept for the next start are digests with a key
of the caller's: of the whole, to know it, and a *sketch* of its head, two bits a byte, to search
for it. Translated by the same table, a text can be searched for a sketch as for any other string.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self, final
from urllib.parse import quote_from_bytes

from tcfs.mirror._views import Span

LEAST: Final = 8  # bytes: what is shorter stands in too many places by accident
MOST: Final = 4096  # secrets of a session, so that a transcript of nothing else ends too
_LONGEST: Final = 4096  # bytes
_SKETCHED: Final = 14  # bytes of a head
_FEW: Final = 1024  # so many are searched for one by one
_ALIKE: Final = 16  # with the same end at most
_CHECKS: Final = 1 << 16  # digests computed for a text at most

# JSON writes these as themselves, but for the escapes that `_views.hides` tells of.
_PLAIN: Final = bytes(range(0x20, 0x7F)).translate(None, b'"\\')


@final
@dataclass(frozen=True, slots=True)
class _Digest:
    rule: str
    size: int
    plain: bool
    sketch: bytes
    check: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one; raises ValueError."""
        rule, size, plain, sketch, check = text.split(":")
        if plain not in ("plain", "escaped") or not sketch or set(sketch) - set("0123"):
            raise ValueError(f"not a digest of a secret: {text!r}")
        return cls(rule, int(size), plain == "plain", sketch.encode(), bytes.fromhex(check))

    def __str__(self) -> str:
        kind = "plain" if self.plain else "escaped"
        return f"{self.rule}:{self.size}:{kind}:{self.sketch.decode()}:{self.check.hex()}"


@final
class Seen:
    """The secrets of one session."""

    __slots__ = ("_check_key", "_digests", "_escaped", "_secrets", "_table", "_tails")

    def __init__(self, key: bytes) -> None:
        material = hashlib.blake2b(key, digest_size=64, person=b"tcfs redaction").digest()
        self._check_key = material[:32]
        # Which of four kinds a byte is of: a secret permutation, dealt out in turn.
        order = sorted(
            range(256), key=lambda byte: hashlib.blake2b(bytes([byte]), key=material[32:]).digest()
        )
        kinds = bytearray(256)
        for turn, byte in enumerate(order):
            kinds[byte] = b"0123"[turn % 4]
        self._table = bytes(kinds)
        self._secrets: dict[bytes, str] = {}
        self._escaped = 0  # how many of them JSON may write in another way
        # By their ends: many begin alike, by their prefix or by what a JWT says of itself.
        self._tails: dict[bytes, list[bytes]] = {}
        self._digests: dict[tuple[int, bytes], _Digest] = {}  # of those not met since the start

    def add(self, secret: bytes, rule: str) -> None:
        """Remember a secret, and how a URL would write it."""
        if len(self._secrets) >= MOST:
            return
        # A backslash at either end could be half of an escape where it shows next.
        secret = secret.strip(b"\\")
        self._keep(secret, rule)
        if secret and (encoded := quote_from_bytes(secret, safe="").encode()) != secret:
            self._keep(encoded, rule)

    def digests(self) -> tuple[str, ...]:
        """Return what `remember` takes; it holds no secret."""
        met = (self._digest(secret, rule) for secret, rule in self._secrets.items())
        return tuple(str(it) for it in (*self._digests.values(), *met))

    def remember(self, digests: Iterable[str]) -> None:
        """Take what `digests` gave before; raises ValueError for what is none."""
        for digest in map(_Digest.parse, digests):
            if len(self._digests) < MOST:
                self._digests[digest.size, digest.check] = digest

    def may_be_in(self, line: bytes) -> bool:
        """Tell whether some view of `line` may hold one, unless plain characters hide in it."""
        if b"\\" in line and self._has_escaped():
            return True
        return next(self.find(line), None) is not None

    def find(self, text: bytes) -> Iterator[tuple[Span, str]]:
        """Return where they are in a text."""
        if self._digests:
            self._recognise(text)
        if len(self._secrets) <= _FEW:
            for secret, rule in self._secrets.items():
                position = text.find(secret)
                while position >= 0:
                    yield (position, position + len(secret)), rule
                    position = text.find(secret, position + len(secret))
            return
        ends: dict[bytes, int] = {}
        for position in range(LEAST, len(text) + 1):
            for secret in self._tails.get(text[position - LEAST : position], ()):
                start = position - len(secret)
                if start >= ends.get(secret, 0) and text.startswith(secret, start):
                    ends[secret] = position
                    yield (start, position), self._secrets[secret]

    def _keep(self, secret: bytes, rule: str) -> None:
        if not LEAST <= len(secret) <= _LONGEST or secret in self._secrets:
            return
        alike = self._tails.setdefault(secret[-LEAST:], [])
        if len(self._secrets) >= MOST or len(alike) >= _ALIKE:
            return
        self._secrets[secret] = rule
        self._escaped += not _is_plain(secret)
        alike.append(secret)
        if self._digests:
            self._digests.pop((len(secret), self._check(secret)), None)

    def _recognise(self, text: bytes) -> None:
        """Know the secrets in `text` from now on of which only the digest was known."""
        kinds = text.translate(self._table)
        checks = 0
        for digest in tuple(self._digests.values()):
            position = kinds.find(digest.sketch)
            while position >= 0 and checks < _CHECKS:
                checks += 1
                found = text[position : position + digest.size]
                if len(found) == digest.size and self._check(found) == digest.check:
                    self._keep(found, digest.rule)
                    break
                position = kinds.find(digest.sketch, position + 1)

    def _has_escaped(self) -> bool:
        return self._escaped > 0 or any(not it.plain for it in self._digests.values())

    def _digest(self, secret: bytes, rule: str) -> _Digest:
        sketch = secret[:_SKETCHED].translate(self._table)
        return _Digest(rule, len(secret), _is_plain(secret), sketch, self._check(secret))

    def _check(self, secret: bytes) -> bytes:
        return hashlib.blake2b(secret, key=self._check_key, digest_size=16).digest()


def _is_plain(secret: bytes) -> bool:
    return not secret.translate(None, _PLAIN)
