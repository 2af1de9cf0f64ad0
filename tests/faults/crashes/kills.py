"""`kill -9` of a mount at every request that reaches the store, in every kind of operation.

Each request is killed at twice: as it arrives, which the service does not see, and as its answer
would go out. Then the mount is made again, and another agent's is asked: what was under way is
there or not, as a whole; what a program was told of is; nothing stays in doubt.
"""

import random
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import parse_qs, unquote, urlsplit

from tests.faults.crashes.mounts import Forge, Mount
from tests.faults.crashes.operations import OPERATIONS, Operation
from tests.mounts import PATIENCE, credentials, until
from tests.proxy import UNANSWERED, Answer, Proxy, Request
from tests.servers import Account, SeaweedFS, boto3_client

QUIET: Final = 0.25  # seconds without a request, after which a mount is done with what it did
LANES: Final = 3  # operations tried side by side
QUICK: Final = 24  # cases of the quick run
MOST: Final = 80  # requests that no operation comes to

_NAME: Final = re.compile(r"q\d+q")
_names = count()


@final
@dataclass(frozen=True, slots=True)
class Case:
    """Where a mount is killed: at which request, as it arrives or when it has been done."""

    operation: Operation
    number: int
    done: bool

    def __str__(self) -> str:
        how = "was done" if self.done else "arrived"
        return f"{self.operation.name}: killed when request {self.number} {how}"


@final
@dataclass
class Watch:
    """Counts the requests of one project, and kills its mount at one of them."""

    mount: Mount
    case: Case | None = None
    name: str = ""
    asked: list[str] = field(default_factory=list)
    fired: threading.Event = field(default_factory=threading.Event)
    _under_way: int = 0
    _last: float = 0.0
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, case: Case, name: str) -> None:
        with self._turn:
            self.case, self.name, self.asked = case, name, []
            self.fired.clear()

    def end(self) -> bool:
        """Kill no more; tell whether the mount was."""
        with self._turn:
            self.case = None
            return self.fired.is_set()

    def quiet(self) -> bool:
        """Tell whether the mount has asked for nothing for a while."""
        with self._turn:
            return self._under_way == 0 and time.monotonic() - self._last > QUIET

    def rule(self, request: Request, what: str) -> Answer | None:
        with self._turn:
            self._under_way += 1
        try:
            return self._answer(request, what)
        finally:
            with self._turn:
                self._under_way -= 1
                self._last = time.monotonic()

    def _answer(self, request: Request, what: str) -> Answer | None:
        with self._turn:
            case, fires = self.case, False
            if case is not None and self._concerns(case, what):
                fires = len(self.asked) == case.number
                self.asked.append(what)
        if len(request.body) < int(request.headers.get("content-length") or 0):
            return UNANSWERED  # it was killed while it sent this
        if case is None or not fires:
            return request.forward()
        if case.done:
            request.forward()
        self.mount.kill()
        self.fired.set()
        return UNANSWERED

    def _concerns(self, case: Case, what: str) -> bool:
        key = what.partition(" ")[2]
        if key.startswith(("agents/", ".tcfs/")) and not case.operation.beats:
            return False  # a heartbeat, and what a mount has begun with
        return all(name == self.name for name in _NAME.findall(key))


@final
class Stage:
    """A service, a proxy before it, and what makes mounts."""

    def __init__(self, service: Account, directory: Path) -> None:
        """Use a service; `directory` is for what mounts keep on their host."""
        self.directory = directory
        self.large = directory / "large"
        self._service = service
        self._watches: dict[str, Watch] = {}
        self._open = ExitStack()

    def __enter__(self) -> "Stage":
        self.large.write_bytes(random.Random(1).randbytes(17 << 20))
        self._forge = self._open.enter_context(Forge())
        self._proxy = self._open.enter_context(Proxy(self._service, self._rule))
        self.client: Any = self._open.enter_context(closing(boto3_client(self._service)))
        self.bucket = self._service.bucket
        probe = self.mount("probed", "probe", "one", spied=True)  # once for all
        probe.start()
        probe.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def mount(self, project: str, host: str, agent: str, *, spied: bool) -> Mount:
        """Return a mount, yet to be started, whose requests are seen or not."""
        account = self._proxy.account if spied else self._service
        store = f"s3://{account.bucket}/{project}"
        environment = credentials(account)
        home = self.directory / f"{project}-{host}"
        options = ("--endpoint", account.endpoint)
        return Mount(self._forge, home, store, agent, *options, environment=environment)

    def watch(self, project: str, mount: Mount) -> Watch:
        """Watch the requests of a project."""
        self._watches[project] = made = Watch(mount)
        return made

    def _rule(self, request: Request) -> Answer | None:
        where = urlsplit(request.target)
        [prefix] = parse_qs(where.query).get("prefix", [unquote(where.path).split("/", 2)[-1]])
        project, _, key = prefix.partition("/")
        watch = self._watches.get(project)
        if watch is None:
            return None
        listing = "prefix" in parse_qs(where.query)
        return watch.rule(request, f"{'LIST' if listing else request.method} {key}")


@final
class Lane:
    """One operation, tried in a project of its own: `one` is killed, `two` looks."""

    def __init__(self, stage: Stage, operation: Operation) -> None:
        self._stage = stage
        self._operation = operation
        self._project = re.sub(r"\W+", "-", operation.name) + f"-{next(_names)}"
        self._one = stage.mount(self._project, "a", "one", spied=True)
        self._two = stage.mount(self._project, "b", "two", spied=False)
        self._watch = stage.watch(self._project, self._one)

    def __enter__(self) -> "Lane":
        self._two.start()
        self._one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._one.close()
        self._two.close()

    def run(self, number: int, *, done: bool) -> bool:
        """Try one case; tell whether the operation comes to that request."""
        case = Case(self._operation, number, done)
        try:
            return self._run(case)
        except BaseException as error:
            error.add_note(str(case))
            error.add_note("\n".join(f"{at}: {it}" for at, it in enumerate(self._watch.asked)))
            raise

    def _run(self, case: Case) -> bool:
        given = {"x": f"q{next(_names)}q", "large": str(self._stage.large)}
        operation, watch = self._operation, self._watch
        self._one.out(f"set -e; {operation.before}", **given)
        self._two.out(operation.before_two, **given)
        until(watch.quiet, "what came before")
        watch.begin(case, given["x"])
        with self._one.popen(operation.script, **given) as shell:
            until(
                lambda: watch.fired.is_set() or (shell.poll() is not None and watch.quiet()),
                "the operation, or the crash",
            )
            fired = watch.end()
            if fired:
                self._one.wait()
            printed, _ = shell.communicate(timeout=PATIENCE)
        if fired:
            self._one.start()
        told = printed.splitlines()[-1:] == ["told"]
        assert told or fired, f"it fails by itself: {printed}"
        self._judge(given, printed, told=told)
        return fired

    def _judge(self, given: dict[str, str], printed: str, *, told: bool) -> None:
        operation, one, two = self._operation, self._one, self._two
        until(
            lambda: not one.bound() and not list(self._in_doubt()),
            "what nobody was told of to be undone",
        )
        ends = [_expanded(it, given) for it in (operation.old, operation.new)]
        allowed = ends[1:] if told else [*ends, *operation.between]
        if _expanded(operation.printing, given) not in printed:
            allowed = ends[:1]
        # What reading changes is seen by whoever reads first.
        lookers = [two] if operation.once else [two, one]
        seen: set[str] = set()

        def agreed() -> bool:
            nonlocal seen
            seen = {it.look(operation.look, **given) for it in lookers}
            return len(seen) == 1 and seen <= set(allowed)

        try:
            until(agreed, "both to see one of what may be")
        except AssertionError as error:
            error.add_note(f"{'told, but' if told else 'untold:'} {seen} is none of {allowed}")
            raise
        if ends[0] in seen:
            two.out(operation.then_old, **given)
        if ends[1] in seen:
            one.out(operation.then_new, **given)

    def _in_doubt(self) -> Iterator[str]:
        """Yield the keys that hold what is in the mount's journal: it was told to nobody.

        What was finished as well stays so: nobody has it.
        """
        for nonce, key in self._one.entered().items():
            body = self._body(key)
            if nonce in body and '"result"' not in body:
                yield key

    def _body(self, key: str) -> str:
        client, bucket = self._stage.client, self._stage.bucket
        try:
            found = client.get_object(Bucket=bucket, Key=f"{self._project}/{key}")
        except client.exceptions.NoSuchKey:
            return ""
        return str(found["Body"].read().decode())


def _expanded(text: str, given: dict[str, str]) -> str:
    if "$" not in text:
        return text
    command = ["bash", "-c", f"echo {text}"]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def explore(stage: Stage, operation: Operation) -> int:
    """Kill at every request of an operation; return how many cases there were."""
    tried = 0
    with Lane(stage, operation) as lane:
        for number in range(MOST):
            came = [lane.run(number, done=done) for done in (False, True)]
            if not any(came):
                return tried
            tried += sum(came)
    raise AssertionError(f"{operation.name}: more than {MOST} requests")


def sample(stage: Stage, operation: Operation, numbers: Sequence[tuple[int, bool]]) -> int:
    """Kill at some of the requests of an operation; what it does not come to is no case."""
    with Lane(stage, operation) as lane:
        came = [lane.run(number, done=done) for number, done in numbers]
    return sum(came)


def chosen(seed: int) -> dict[str, list[tuple[int, bool]]]:
    """Return the cases of a quick run, by operation."""
    numbers = random.Random(seed)
    cases: dict[str, list[tuple[int, bool]]] = {}
    for operation in numbers.sample(OPERATIONS, QUICK // 2):
        at = numbers.randrange(5)
        cases[operation.name] = [(at, False), (numbers.randrange(5), True)]
    return cases


def main(seed: int = 1, *, quick: bool = False) -> int:
    """Run all cases, or some by a seed; return how many there were. Raises what is violated."""
    by_name = {it.name: it for it in OPERATIONS}
    with (
        tempfile.TemporaryDirectory(prefix="tcfs-", ignore_cleanup_errors=True) as directory,
        SeaweedFS() as server,
        Stage(server.account, Path(directory)) as stage,
        ThreadPoolExecutor(LANES) as lanes,
    ):
        if quick:
            some = chosen(seed).items()
            runs = [lanes.submit(sample, stage, by_name[it], numbers) for it, numbers in some]
        else:
            runs = [lanes.submit(explore, stage, it) for it in OPERATIONS]
        failed = [error for run in runs if (error := run.exception()) is not None]
        if failed:
            raise BaseExceptionGroup(f"seed {seed}: {len(failed)} operations", failed)
        return sum(run.result() for run in runs)


if __name__ == "__main__":
    begin = time.monotonic()
    print(f"{main()} cases in {time.monotonic() - begin:.0f} s")
