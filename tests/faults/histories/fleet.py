"""A server, a proxy in front of it that fails now and then, and everybody who goes through that."""

import http.client
import json
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

import obstore
from obstore.store import S3Store

from tests.faults.histories.clients import (
    Command,
    Crew,
    Direct,
    Library,
    Program,
    ReferenceCommand,
    ReferenceLibrary,
    Shell,
)
from tests.faults.histories.hosts import Host, hosts, possible
from tests.faults.requests.kinds import NAMED, Fault, faulty
from tests.interop.reference import NEWEST, Reference, inherited, install
from tests.mounts import Mount, credentials, until
from tests.proxy import UNANSWERED, Answer, Proxy, Request
from tests.servers import Account, SeaweedFS

RATE: Final = 0.1
LATE: Final = 0.7  # seconds at most by which a request arrives after its client gave it up
KNOWS: Final = 150.0  # seconds for a mount to find out what the store does while requests fail


def _on_its_way(request: Request) -> Answer:
    _ = request.body
    timer = threading.Timer(LATE, _arrive, [request])
    timer.daemon = True
    timer.start()
    return UNANSWERED


def _arrive(request: Request) -> None:
    with suppress(OSError, http.client.HTTPException):  # the service may be away by then
        request.forward()


def _slow(request: Request) -> Answer:
    request.hung_up(LATE)
    return request.forward()


# Without those that a client waits a minute for: the reference would, and its races with it.
KINDS: Final = (
    *(NAMED[it] for it in ("answer lost", "answer reset", "request lost", "request reset")),
    *(NAMED[it] for it in ("500", "500 after all", "503", "429", "409")),
    Fault("request on its way", _on_its_way, acts=True),
    Fault("slow", _slow, acts=True),
)


@final
class Chance:
    """A rule for the proxy: so many of the requests fail, in one of the ways requests do."""

    def __init__(self, seed: int, rate: float) -> None:
        self.asked = 0
        self.failed = 0
        self._rule = faulty(seed, rate, KINDS)
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer | None:
        said = self._rule(request)
        with self._lock:
            self.asked += 1
            self.failed += said is not None
        return said

    def __str__(self) -> str:
        return f"{self.asked} requests, of which {self.failed} failed"


@final
@dataclass
class Fleet:
    """Who acts on one project. Made by `fleet`."""

    home: Path
    server: SeaweedFS
    proxy: Proxy
    chance: Chance
    project: str
    crew: Crew
    stack: ExitStack
    places: Sequence[Host]
    mounts: list[Mount] = field(default_factory=list)
    stepping: list[Mount] = field(default_factory=list)
    """Those with a clock of their own."""
    _bare: S3Store | None = None

    @property
    def store(self) -> str:
        return f"s3://{self.server.account.bucket}/{self.project}"

    def mount(self, *options: str, clock: int | None = None, agent: str | None = None) -> Mount:
        """Mount the project, on a host of its own where there is one left.

        No request fails while the first mounts find out what the store does, so that all begin at
        once; `again` mounts while they do.
        """
        number = len(self.mounts)
        place = self.places[number] if number < len(self.places) else None
        account = place.account if place else self.proxy.account
        home = self.home / f"h{number}"
        home.mkdir()
        environment = credentials(account) | (place.environment if place else {})
        environment["XDG_CACHE_HOME"] = str(self.home / "cache")  # one finds out for all
        if clock is not None:
            environment["FAULTS_CLOCK"] = str(clock)
        with self.calm():
            mount = Mount(
                *(home, self.store, agent or f"m{number}", "--endpoint", account.endpoint),
                *options,
                environment=environment,
                program="tests.faults.histories.launcher",
            )
            self.mounts.append(self.stack.enter_context(mount))
            until(lambda: "claims: atomic" in mount.out("cat .tcfs/capabilities"), "claims")
            mount.out(f"cd as/first/steps/first-{number} && echo > claim && rm claim")
        if clock is not None:
            self.stepping.append(mount)
        return mount

    def again(self, mount: Mount, *, anew: bool) -> int:
        """Mount once more, while requests fail, and return how often nobody answered in time.

        With `anew` it knows nothing of the store, and finds out.
        """
        if anew:
            shutil.rmtree(self.home / "cache", ignore_errors=True)
        missed = 0

        def starts() -> bool:
            nonlocal missed
            try:
                mount.start()
            except AssertionError:
                # A mount that is not answered within seconds is none, and says so as it ends.
                if not mount.log.rstrip().rpartition("\n")[2].startswith("tcfs: "):
                    raise
                missed += 1
                return False
            return True

        until(starts, "the mount", KNOWS)
        until(lambda: "claims: atomic" in mount.out("cat .tcfs/capabilities"), "claims", KNOWS)
        return missed

    def shell(self, mount: Mount, agent: str) -> Shell:
        return self.crew.shell(mount.path, agent)

    def library(self, lease: int, deadline: float, name: str = "lib") -> Program:
        """Start the library on the project, as a mount of `name`."""
        account = self.proxy.account
        home = self.home / name
        given = {
            "bucket": account.bucket,
            "endpoint": account.endpoint,
            "region": account.region,
            "access_key": account.access_key,
            "secret_key": account.secret_key,
            "project": self.project,
            "agent": name,
            "state": str(home / "state"),
            "lease": str(lease),
            "deadline": str(deadline),
        }
        return self.crew.tcfs("by_library.py", json.dumps(given), home=home)

    def agents_of(self, program: Program, names: Sequence[str]) -> list[Library]:
        return [Library(program, name) for name in names]

    def commands(self, names: Sequence[str], deadline: float) -> list[Command]:
        """Return agents with the command line."""
        account = self.proxy.account
        program = self.crew.tcfs(
            "by_command.py",
            "tcfs",
            home=self.home / "cli",
            XDG_CACHE_HOME=str(self.home / "cache"),
            **credentials(account),
        )
        options = ("--store", self.store, "--endpoint", account.endpoint)
        made = [
            Command(program, name, (*options, "--deadline", str(deadline), "--agent", name))
            for name in names
        ]
        with self.calm():  # as for a mount
            told = made[0].do("put", "memory/first", "first\n")
            assert told.done, told
        return made

    def reference_commands(self, version: str, names: Sequence[str]) -> list[ReferenceCommand]:
        """Return agents with the reference's command line."""
        program = self._reference(version, "by_command.py", "tracecraft")
        return [ReferenceCommand(program, name) for name in names]

    def reference_library(self, names: Sequence[str]) -> list[ReferenceLibrary]:
        """Return agents with the reference's library."""
        program = self._reference(NEWEST, "by_reference.py")
        return [ReferenceLibrary(program, name) for name in names]

    def _reference(self, version: str, name: str, *arguments: str) -> Program:
        home = self.home / f"reference-{version}-{name}"
        with self.calm():
            Reference(version, home, self.proxy.account, self.project, "ref")
        python = install(version) / "bin" / "python"
        environment = {k: v for k, v in inherited().items() if k in ("NO_PROXY", "no_proxy")}
        return self.crew.program(python, name, *arguments, home=home, **environment)

    def direct(self, names: Sequence[str], patience: float) -> list[Direct]:
        return [Direct(self.proxy.account, self.project, name, patience) for name in names]

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Let no request fail for a while."""
        rules, self.proxy.rules = self.proxy.rules, ()
        try:
            yield
        finally:
            self.proxy.rules = rules

    @property
    def bare(self) -> S3Store:
        """The bucket itself, past the proxy."""
        if self._bare is None:
            self._bare = bare(self.server.account, self.project)
        return self._bare

    def body(self, key: str) -> bytes | None:
        """Return what is in the bucket; None if nothing is."""
        try:
            return bytes(obstore.get(self.bare, key).bytes())
        except FileNotFoundError:
            return None

    def keys(self, prefix: str) -> list[str]:
        return [it["path"] for page in obstore.list(self.bare, prefix=prefix) for it in page]


def bare(account: Account, project: str) -> S3Store:
    return S3Store(
        account.bucket,
        prefix=project,
        endpoint=account.endpoint,
        region=account.region,
        access_key_id=account.access_key,
        secret_access_key=account.secret_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


@contextmanager
def fleet(seed: int, project: str, apart: int = 0, rate: float = RATE) -> Iterator[Fleet]:
    """Yield a fleet on a server of its own; the first `apart` mounts on hosts of their own."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tcfs-")))
        (home / "weed").mkdir()
        server = stack.enter_context(SeaweedFS(home / "weed"))
        proxy = stack.enter_context(Proxy(server.account))
        chance = Chance(seed, rate)
        proxy.rules = (chance,)
        places = stack.enter_context(hosts(proxy.account, apart)) if possible() else []
        crew = stack.enter_context(Crew())
        made = stack.enter_context(ExitStack())
        yield Fleet(home, server, proxy, chance, project, crew, made, places)


def say(line: str) -> None:
    """Print a line at once, for whoever waits."""
    print(line, flush=True)
