"""Files of several parts, stored through a mount while one kind of request meets a fault.

Each row is a file of its own; what is there afterwards is asked of the service itself.
"""

import errno
import os
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import parse_qs, unquote, urlsplit

from tests.faults.requests.kinds import NAMED, Fault, first
from tests.mounts import Mount, credentials
from tests.proxy import Answer, Proxy, Request, Rule, refusal
from tests.servers import Account, boto3_client

DEADLINE: Final = 8.0  # seconds, for `--deadline`: that it is kept is a subject here
AT_ONCE: Final = 6  # rows
SIZE: Final = (17 << 20) + 1000  # bytes: three parts
ERRNOS: Final = {os.strerror(it): name for it, name in errno.errorcode.items()}


def kind(request: Request) -> str | None:
    """Return which request of a multipart upload this is."""
    query = parse_qs(urlsplit(request.target).query, keep_blank_values=True)
    return (
        {
            ("POST", True): "begin",
            ("PUT", False): "part",
            ("POST", False): "finish",
            ("DELETE", False): "abort",
        }.get((request.method, "uploads" in query))
        if query.keys() & {"uploads", "uploadId"}
        else None
    )


@final
@dataclass(slots=True)
class Row:
    """One file, what its upload meets, and what came of it."""

    x: str
    asked: str  # the kind of request that meets the fault
    fault: Fault
    times: int | None  # how many of them do; None for all
    replaces: bool  # whether there is an older version
    met: int = 0
    uploads: set[str] = field(default_factory=set)  # whose ids the client was told
    error: str = ""  # errno's name, or what else was said
    idle: float = 0.0  # seconds at the end without an answer that was no fault's
    found: str = ""  # new, old or nothing; or what is neither
    left: list[str] = field(default_factory=list)  # uploads that go on, of those it knew
    seen: str = ""  # by the mount
    lines: str = ""  # in `.tcfs/errors`

    def __str__(self) -> str:
        often = "always" if self.times is None else f"{self.times} times"
        what = f"{self.x} {self.asked}: {self.fault} {often}, {'over' if self.replaces else 'new'}"
        came = f"{self.error or 'ok'}, {self.found}, seen {self.seen}, idle {self.idle:.1f} s"
        return f"{what} (met {self.met}): {came}, left {self.left}; {self.lines}"

    @property
    def before(self) -> str:
        return "old" if self.replaces else "nothing"

    @property
    def unknown(self) -> bool:
        """Whether the request that decides got no answer that says what became of it."""
        return self.asked == "finish" and self.met > 0 and not self.fault.told

    @property
    def once_only(self) -> bool:
        """Whether the request that decides did what it may do once, without an answer."""
        return self.unknown and self.fault.acts and not self.replaces

    @property
    def is_told_wrong(self) -> bool:
        """Whether the service said something else of a part than it has."""
        return self.asked == "part" and self.fault.name == "another ETag"

    @property
    def may_leave_parts(self) -> bool:
        """Whether no abort came through, or none in the little time that one has."""
        slow = self.fault.name in ("503 Retry-After", "request stalled")
        return self.asked == "abort" and (self.times is None or slow)


def in_time(row: Row) -> bool:
    """No operation takes longer than the mount's deadline, but a read that waits on purpose."""
    return row.idle < DEADLINE + 1


def whole(row: Row) -> bool:
    """What is there is the old version or the new one, and what was acknowledged is the new."""
    return row.found == ("new" if not row.error else row.before) or (
        row.found == "new" and row.error == "EIO" and row.unknown
    )


def told(row: Row) -> bool:
    """One request that fails is got over; what fails until the deadline is EIO if it may be
    written, else ETIMEDOUT."""
    if row.asked == "abort":
        return row.error == "EACCES"
    if row.is_told_wrong:
        return row.error == "ENOTSUP"
    if row.once_only:
        return row.error in ("EIO", "")
    if row.times is not None or not row.met or row.fault.mild:
        return not row.error or row.fault.mild
    return row.error == ("EIO" if row.unknown else "ETIMEDOUT")


def explained(row: Row) -> bool:
    """A refusal has a line in `.tcfs/errors` that says what to do."""
    return not row.error or f" {row.error} " in row.lines


def seen_as_it_is(row: Row) -> bool:
    """The mount shows what is stored."""
    return row.seen == row.found


def nothing_left(row: Row) -> bool:
    """Parts of an upload that failed are thrown away, as far as the service lets us."""
    return not row.left or row.may_leave_parts


RULES: Final = (in_time, whole, told, explained, seen_as_it_is, nothing_left)


@final
class Uploads:
    """All rows on one mount, a few at a time."""

    def __init__(self, home: Path, rows: Sequence[Row]) -> None:
        self.rows = rows
        self._named = {it.x: it for it in rows}
        self._rules: dict[str, Rule] = {
            it.x: first(it.times, it.fault, lambda request, asked=it.asked: kind(request) == asked)  # type: ignore[misc]
            for it in rows
        }
        self._progress: dict[str, float] = {}
        self._new, self._old = home / "new", home / "old"
        self._new.write_bytes(os.urandom(SIZE))
        self._old.write_bytes(b"old")

    def rule(self, request: Request) -> Answer | None:
        """Have the requests of a row meet its fault: the row's name is in them."""
        found = re.search(r"x\d{4}", unquote(request.target))
        row = self._named.get(found[0]) if found else None
        if row is None or row.x not in self._progress:
            return None
        came = time.monotonic()
        said = self._rules[row.x](request)
        if said is not None:
            if not row.met:  # before it the file was written on the local disk
                self._progress[row.x] = max(came, self._progress[row.x])
            row.met += 1
            return said
        if row.asked == "abort" and kind(request) == "part":
            return refusal(403, "AccessDenied")  # what an abort is for
        said = request.forward()
        if kind(request) != "abort":
            self._progress[row.x] = time.monotonic()
        if kind(request) == "begin" and (begun := re.search(rb"<UploadId>(.+?)<", said.body)):
            row.uploads.add(begun[1].decode())
        return said

    def run(self, mount: Mount, service: Account, prefix: str) -> None:
        """Store all of them, and look at what came of it."""
        with closing(boto3_client(service)) as client:
            for row in self.rows:
                if row.replaces:
                    key = f"{prefix}/{self._path(row)}"
                    client.put_object(Bucket=service.bucket, Key=key, Body=self._old.read_bytes())
            for endless in (True, False):  # whose many requests are in nobody's way
                some = [it for it in self.rows if (it.times is None) is endless]
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    list(pool.map(partial(self._store, mount), some))
            for row in self.rows:
                row.found = self._look(client, service.bucket, f"{prefix}/{self._path(row)}")
            listed = client.list_multipart_uploads(Bucket=service.bucket)
            going_on = {it["UploadId"] for it in listed.get("Uploads", ())}
        for row in self.rows:
            row.left = sorted(row.uploads & going_on)
            row.seen = mount.out(self._compared(row)).strip()

    def _store(self, mount: Mount, row: Row) -> None:
        path = self._path(row)
        self._progress[row.x] = time.monotonic()
        done = mount.sh(f"cd as/{row.x} && cp {self._new} {path}")
        row.idle = time.monotonic() - self._progress[row.x]
        if done.returncode:
            said = done.stderr.strip().rpartition(": ")[2]
            row.error = ERRNOS.get(said, done.stderr or f"exit code {done.returncode}")
        row.lines = (mount.path / "as" / row.x / ".tcfs" / "errors").read_text()

    def _look(self, client: Any, bucket: str, key: str) -> str:
        try:
            body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except client.exceptions.NoSuchKey:
            return "nothing"
        if body == self._new.read_bytes():
            return "new"
        return "old" if body == self._old.read_bytes() else f"{len(body)} bytes"

    def _compared(self, row: Row) -> str:
        path = self._path(row)
        return (
            f"if cmp -s {self._new} {path}; then echo new; elif cmp -s {self._old} {path}; "
            f"then echo old; elif [ -e {path} ]; then wc -c {path}; else echo nothing; fi"
        )

    @staticmethod
    def _path(row: Row) -> str:
        return f"artifacts/shared/{row.x}"


def rows(cases: Iterable[tuple[str, str, int | None, bool]]) -> list[Row]:
    """Return a row each: the request, its fault, how often it meets it, and what is replaced."""
    return [
        Row(f"x{it:04d}", asked, NAMED[fault], times, replaces)
        for it, (asked, fault, times, replaces) in enumerate(cases)
    ]


def tried(service: Account, project: str, rows: Sequence[Row]) -> Sequence[Row]:
    """Return the rows with what came of them on a mount of their own."""
    with tempfile.TemporaryDirectory(prefix="tcfs-") as path:
        home = Path(path)
        made = Uploads(home, rows)
        with Proxy(service, made.rule) as proxy:
            account = proxy.account
            options = ("--endpoint", account.endpoint, "--deadline", str(DEADLINE))
            where = f"s3://{account.bucket}/{project}"
            with Mount(home, where, "me", *options, environment=credentials(account)) as mount:
                made.run(mount, service, project)
                assert "Traceback" not in mount.log, mount.log
    return rows
