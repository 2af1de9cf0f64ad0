"""Every fault of a service, met by every kind of operation on a real mount."""

import errno
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Final, final
from urllib.parse import unquote

import pytest

from tests.faults.requests.acts import ACTS, SMALL, Act
from tests.faults.requests.kinds import (
    FAULTS,
    NAMED,
    Fault,
    always,
    any_request,
    first,
    onwards,
)
from tests.mounts import PATIENCE, Mount, credentials, until
from tests.proxy import Answer, Proxy, Request, Rule
from tests.servers import Account

DEADLINE: Final = 3.0  # seconds, for `--deadline`: that it is kept is a subject here
AT_ONCE: Final = 20  # rows that are on their way
TOGETHER: Final = 15  # rows that one shell prepares, or looks at
ENDLESS: Final = (
    *("answer lost", "answer stalled", "answer drips", "request lost", "request late"),
    *("500", "503", "409", "another ETag"),
)
ERRNOS: Final = {os.strerror(it): name for it, name in errno.errorcode.items()}


def writes(request: Request) -> bool:
    return request.writes


@final
@dataclass(frozen=True, slots=True)
class Weather:
    """Which requests of an operation meet the fault. `passes`: another attempt meets none."""

    name: str
    rule: Callable[[Fault], Rule]
    passes: bool

    def __str__(self) -> str:
        return self.name


ONE: Final = Weather("one request", lambda fault: first(1, fault), True)
ONE_WRITE: Final = Weather("one write", lambda fault: first(1, fault, writes), True)
ALL: Final = Weather("all", always, False)
ONWARDS: Final = Weather("all from the first write on", lambda it: onwards(it, writes), False)


@final
@dataclass(slots=True)
class Row:
    """One operation in one weather, and what came of it."""

    x: str
    act: Act
    fault: Fault
    weather: Weather
    met: list[str] = field(default_factory=list)  # the methods of the requests that met it
    error: str = ""  # errno's name, or what else was said
    took: float = 0.0
    lines: str = ""  # in `.tcfs/errors`
    found: str = ""  # afterwards
    settled: bool = False
    after: str = ""  # once the same was done in good weather

    def __str__(self) -> str:
        what = f"{self.x} {self.act}, {self.fault}, {self.weather}"
        return f"{what}: {self.error or 'ok'} in {self.took:.1f} s; {self.found!r} {self.lines}"

    @property
    def unknown(self) -> bool:
        """Whether a write got no answer that says what became of it."""
        return not self.fault.told and not {"PUT", "POST", "DELETE"}.isdisjoint(self.met)


def rows(
    acts: Iterable[Act], once: Iterable[str] = NAMED, endless: Collection[str] = ENDLESS
) -> Iterator[Row]:
    names = (f"x{it:04d}" for it in count())

    def row(act: Act, fault: Fault, weather: Weather) -> Row:
        x = next(names)
        return Row(x, act.of(x), fault, weather)

    for act in acts:
        for name in once:
            yield row(act, NAMED[name], ONE_WRITE if act.writes else ONE)
        for name in endless:
            yield row(act, NAMED[name], ONWARDS if act.writes else ALL)
        if act.writes and endless:
            yield row(act, NAMED["request stalled"], ALL)


@final
class Course:
    """All rows on one mount."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self._rules: dict[str, tuple[Row, Rule]] = {}

    def rule(self, request: Request) -> Answer | None:
        """Have the requests of a row meet its weather: the row's name is in them."""
        found = re.search(r"x\d{4}", unquote(request.target))
        row, rule = self._rules.get(found[0], (None, None)) if found else (None, None)
        said = rule(request) if rule else None
        if row and said:
            row.met.append(request.method)
        return said

    def run(self, mount: Mount) -> None:
        self._each(mount, self.rows, lambda act: f"echo > agents/${{PWD##*/}}; {act.before}")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(partial(self._act, mount), self.rows))
        until(lambda: mount.out("cat .tcfs/outbox") == "", "the mail to be delivered")
        for row in self.rows:
            row.lines = (mount.path / "as" / row.x / ".tcfs" / "errors").read_text()
            if row.lines and not row.error:
                row.error = "unseen"  # of a close that bash did not look at
        end = time.monotonic() + PATIENCE
        while not self._settled(mount) and time.monotonic() < end:
            continue
        line = "{{ {0.mended}; }} > /dev/null; {0.look}"
        after = self._each(mount, self.rows, lambda act: line.format(act))
        for row, found in zip(self.rows, after, strict=True):
            row.after = found

    def _act(self, mount: Mount, row: Row) -> None:
        self._rules[row.x] = (row, row.weather.rule(row.fault))
        begin = time.monotonic()
        done = mount.sh(f"cd as/{row.x}; {row.act.line}")
        row.took = time.monotonic() - begin
        del self._rules[row.x]
        if done.returncode:
            said = done.stderr.strip().rpartition(": ")[2]
            row.error = ERRNOS.get(said, done.stderr or f"exit code {done.returncode}")

    def _settled(self, mount: Mount) -> bool:
        left = [it for it in self.rows if not it.settled]
        for row, found in zip(left, self._each(mount, left, lambda act: act.look), strict=True):
            row.found = found
            undone = row.error == "EIO" and row.act.name in ("claim", "lock")
            row.settled = not undone or found == row.act.undone
        return all(it.settled for it in left)

    def _each(self, mount: Mount, rows: Sequence[Row], line: Callable[[Act], str]) -> list[str]:
        """Run a line for each row, as its agent, and return what each printed."""
        parts = [rows[it : it + TOGETHER] for it in range(0, len(rows), TOGETHER)]

        def some(part: Sequence[Row]) -> list[str]:
            lines = [
                f"(cd as/{row.x} && {{ {line(row.act)}; }} || echo failed); printf '\\0'"
                for row in part
            ]
            return mount.out("\n".join(lines)).split("\0")[:-1]

        with ThreadPoolExecutor(8) as pool:
            return [it for part in pool.map(some, parts) for it in part]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tcfs-") as path:
        yield Path(path)


# The same on moto, for what writes: what was done though nobody says so, and what was not.
ON_MOTO: Final = partial(
    rows,
    [it for it in chain(*ACTS.values()) if it.writes],
    ("answer lost", "500 after all", "409"),
    ("500",),
)
COURSES: Final[Mapping[str, tuple[str, Callable[[], Iterator[Row]]]]] = {
    **{name: ("seaweed", partial(rows, acts)) for name, acts in ACTS.items()},
    "moto": ("moto", ON_MOTO),
}


@pytest.fixture(scope="module", params=COURSES)
def course(request: pytest.FixtureRequest, home: Path) -> Iterator[Course]:
    server, planned = COURSES[request.param]
    made = Course(list(planned()))
    account: Account = request.getfixturevalue(server)
    with Proxy(account, made.rule) as service, pytest.MonkeyPatch.context() as patch:
        for name in ("SMALL", "OTHER"):
            (home / name).write_bytes(os.urandom(SMALL))
            patch.setenv(name, str(home / name))
        account = service.account
        options = ("--endpoint", account.endpoint, "--deadline", str(DEADLINE))
        store = f"s3://{account.bucket}/every-fault-{request.param}"
        with Mount(home, store, "me", *options, environment=credentials(account)) as mount:
            made.run(mount)
            assert mount.process.poll() is None
            assert "Traceback" not in mount.log, mount.log
            yield made


def no(rows: Iterable[Row]) -> None:
    found = list(rows)
    assert not found, "\n".join(map(str, found))


def test_each_operation_met_its_fault(course: Course) -> None:
    """But for those that only some requests can meet, which not every operation makes."""
    special = {it.name for it in FAULTS if it.concerns is not any_request}
    no(it for it in course.rows if not it.met and it.fault.name not in special)


def test_no_operation_takes_longer_than_its_deadline(course: Course) -> None:
    """No operation takes longer than the mount's deadline, but a read that waits on purpose."""
    no(it for it in course.rows if it.took > it.act.calls * (DEADLINE + 1))


def test_one_fault_is_got_over(course: Course) -> None:
    """But for what may be made once only: made by another, it would look the same."""

    def is_told(row: Row) -> bool:
        once_only = row.act.name == "store" and row.fault.acts
        slow = row.fault.name == "answer drips"
        return (once_only and row.error == "EIO") or (slow and row.error in ("EIO", "ETIMEDOUT"))

    no(it for it in course.rows if it.weather.passes and it.error and not is_told(it))


def test_faults_without_end_fail(course: Course) -> None:
    """But mail, which waits on the disk."""
    endless = [it for it in course.rows if not it.weather.passes and not it.fault.mild and it.met]
    no(it for it in endless if not it.error and it.act.name != "send")
    no(it for it in course.rows if it.error and it.act.name == "send")


def test_what_may_be_written_is_eio_and_what_surely_is_not_etimedout(course: Course) -> None:
    """One request that fails is got over; what fails until the deadline is EIO if it may be
    written, else ETIMEDOUT."""
    failed = [it for it in course.rows if it.error]
    no(it for it in failed if it.error not in ("EIO", "ETIMEDOUT"))
    half_done = [it for it in failed if it.found == it.act.between]
    no(it for it in failed if it.error == "EIO" and not it.unknown and it not in half_done)
    no(it for it in failed if it.error == "ETIMEDOUT" and it.found != (it.act.undone or ""))


def test_what_was_acknowledged_is_there(course: Course) -> None:
    no(it for it in course.rows if not it.error and it.found != (it.act.done or ""))
    failed = [it for it in course.rows if it.error and it.act.writes]
    no(it for it in failed if it.found not in (it.act.done, it.act.undone, it.act.between))


def test_claims_and_locks_of_unknown_outcome_are_given_back(course: Course) -> None:
    """A claim of unknown outcome is EIO, and is given back as soon as it shows. A lock of unknown
    outcome is EIO, and is given back as soon as it shows."""
    no(it for it in course.rows if not it.settled)


def test_each_refusal_has_a_line(course: Course) -> None:
    """A refusal has a line in `.tcfs/errors` that says what to do."""
    no(it for it in course.rows if it.error and f" {it.error} " not in it.lines)


def test_afterwards_everything_works(course: Course) -> None:
    no(it for it in course.rows if it.after != (it.act.done or ""))
