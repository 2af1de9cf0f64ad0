"""Mirrors under fire: every complete line is in the transcript once, in order, whatever happens.

Transcripts are written at random while three mounts and a `tcfs mirror` mirror the same home. They
are killed and begun anew, the store fails one request in ten, and the parts are merged meanwhile.
What is in the bucket must then be what each source once began with, for each generation of it, and
all of the source for the newest.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from errno import ENOENT, ESTALE
from pathlib import Path
from typing import Final, Self, final

from tests.faults.mirrors.transcripts import (
    SECRET,
    FileTranscript,
    OpenClawTranscript,
    Told,
    Transcript,
    lines_of,
)
from tests.mirror.homes import OpenClawDatabase, rollout
from tests.mounts import PATIENCE, SOURCE, Mount, credentials, until
from tests.proxy import UNANSWERED, Answer, Proxy, Request, Rule, refusal
from tests.servers import Account, SeaweedFS, boto3_client

AGENTS: Final = ("designer", "developer", "tester")
FAILING: Final = 0.1  # of all requests
LEASE: Final = 6  # seconds: whoever comes after a mount that was killed waits no longer
COMMAND: Final = 90  # seconds of the lease of a command that was killed
PAUSES: Final = (0.005, 0.1)  # seconds between two acts of a writer
HOWS: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)
AGAIN: Final = "did not answer in time; check the network and the endpoint, then try again"
LIVES: Final = (1.0, 6.0)  # seconds until a mirror is killed
GAPS: Final = (0.1, 1.0)  # seconds from one merge to the next


def failing(chance: random.Random) -> Rule:
    """Fail one request in ten: without a word or with one, before it acts or after."""
    lock = threading.Lock()

    def rule(request: Request) -> Answer | None:
        with lock:
            fails, acts, how = chance.random() < FAILING, chance.random() < 0.5, chance.random()
        if not fails:
            return None
        if acts:
            request.forward()
        if how < 0.5:
            return UNANSWERED
        return refusal(500, "InternalError") if how < 0.8 else refusal(503, "SlowDown")

    return rule


@final
class Bucket:
    """What lies in the bucket, seen past the faults."""

    def __init__(self, account: Account, project: str) -> None:
        self._account = account
        self._project = project

    def generations(self, session: str) -> dict[int, bytes]:
        """Return the bytes of each generation of a session, by what meta says."""
        with contextlib.closing(boto3_client(self._account)) as client:
            before = None
            while True:
                meta = self._get(client, f"{session}/meta.json")
                assert meta is None or meta != before, f"{session}: meta names what is not there"
                found = self._read(client, session, json.loads(meta)) if meta else {}
                if found is not None:
                    return found
                before = meta  # a part was merged as we read: meta is another by now

    def _read(
        self, client: "object", session: str, meta: Mapping[str, "object"]
    ) -> dict[int, bytes] | None:
        found: dict[int, bytes] = {}
        parts = meta["parts"]
        assert isinstance(parts, list)
        for it in sorted(parts, key=lambda it: it["seq"]):
            body = self._get(client, f"{session}/part-{it['seq']:05}-{it['uuid']}.jsonl")
            if body is None:
                return None
            assert len(body) == it["uploaded_bytes"], session
            found[it["generation"]] = found.get(it["generation"], b"") + body
        return found

    def _get(self, client: "object", name: str) -> bytes | None:
        at = {"Bucket": self._account.bucket, "Key": f"{self._project}/sessions/{name}"}
        try:
            return bytes(client.get_object(**at)["Body"].read())  # type: ignore[attr-defined]
        except client.exceptions.NoSuchKey:  # type: ignore[attr-defined]
            return None


@final
class Follower:
    """`tcfs mirror --follow` of a file; it ends with the block."""

    def __init__(self, home: Path, path: Path, account: Account, project: str) -> None:
        self._command = [
            *(sys.executable, "-m", "tcfs.cli", "mirror", "--harness", "file", "--path", str(path)),
            *("--follow", "--interval", "1", "--agent", "follower"),
            *("--store", f"s3://{account.bucket}/{project}", "--endpoint", account.endpoint),
        ]
        self._environment = environment(home, account)
        self._home = home
        self._log = home / "follower.log"
        self._process: subprocess.Popen[bytes]
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGTERM)

    def start(self) -> None:
        """Begin; nobody waits for it to have begun."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=self._home,
            )

    def end(self, how: signal.Signals) -> None:
        """End it, if it did not find its store too often away."""
        self._process.send_signal(how)
        self._process.wait(PATIENCE)

    @property
    def log(self) -> str:
        """What it said."""
        return self._log.read_text()


def environment(home: Path, account: Account) -> dict[str, str]:
    """Return the environment of commands that have this home."""
    return {
        **{k: v for k, v in os.environ.items() if k != "TRACECRAFT_AGENT"},
        **credentials(account),
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPATH": str(SOURCE),
    }


@final
class Fire:
    """One run in `home`, on a project of `service`."""

    def __init__(self, home: Path, service: Account, project: str, seed: int) -> None:
        self._home = home
        self._service = service
        self._project = project
        self._chance = random.Random(seed)
        self._bucket = Bucket(service, project)
        self._over = threading.Event()
        self._file = home / "logs" / "log.jsonl"
        self._samples: list[tuple[str, dict[int, bytes]]] = []
        self._transcripts = list(self._begun())
        self.kills = 0
        self.merges = 0
        self.generations = 0

    def _begun(self) -> Iterator[Transcript]:
        home, chance = self._home, self._chance
        for number in range(3):
            name = f"5ca1ab1e-0000-4000-8000-{number:012}"
            line = {"type": "user", "sessionId": name, "cwd": "/srv/app"}
            projects = home / ".claude" / "projects"
            places = tuple(projects / it / f"{name}.jsonl" for it in ("here", "there"))
            yield FileTranscript(chance, f"claude-code/{name}", places, line, line)
        for number in range(2):
            name = f"0c0de000-0000-4000-8000-{number:012}"
            head = {"type": "session_meta", "payload": {"id": name, "cwd": "/srv/app"}}
            day = home / ".codex" / "sessions" / "2026" / "11" / "22" / rollout(name)
            archived = home / ".codex" / "archived_sessions" / rollout(name)
            places = (day, archived, archived.with_name(f"{archived.name}.zst"))
            yield FileTranscript(chance, f"codex/{name}", places, head, {"type": "response_item"})
        digest = hashlib.sha256(os.fsencode(self._file)).hexdigest()[:8]
        name = f"file/log-{digest}"
        yield FileTranscript(chance, name, (self._file,), {}, {}, vanishes=False)
        database = OpenClawDatabase(home / ".openclaw")
        yield OpenClawTranscript(chance, database, "c1a0")
        yield OpenClawTranscript(chance, database, "c1a1")

    @property
    def sessions(self) -> list[str]:
        """What is mirrored."""
        return [it.session for it in self._transcripts]

    def run(self, seconds: float) -> None:
        """Burn for so long, and let the last mirror come to rest; raises AssertionError."""
        with ExitStack() as stack:
            proxy = stack.enter_context(Proxy(self._service))
            mounts = [stack.enter_context(self._mount(it, proxy.account)) for it in AGENTS]
            follower = stack.enter_context(self._follower(proxy.account))
            proxy.rules = (failing(random.Random(self._chance.random())),)
            pool = stack.enter_context(ThreadPoolExecutor())
            stack.callback(self._over.set)
            # One that was killed keeps the next waiting: seconds, or longer than all of this.
            hows = (*[HOWS] * len(mounts), HOWS if seconds > COMMAND else HOWS[-1:])
            hands = [
                pool.submit(self._kill, it, how, random.Random(self._chance.random()))
                for it, how in zip((*mounts, follower), hows, strict=True)
            ]
            hands.append(
                pool.submit(self._merge, proxy.account, random.Random(self._chance.random()))
            )
            threading.Timer(seconds, self._over.set).start()
            while not self._over.wait(self._chance.uniform(*PAUSES)):
                self._chance.choice(self._transcripts).act()
                for it in hands:
                    if it.done():
                        it.result()
            for it in hands:
                it.result()
            for mount in mounts:
                mount.close()
            follower.end(signal.SIGTERM)
            for log in (follower.log, *(it.log for it in mounts)):
                assert "Traceback" not in log, log
        for it in self._transcripts:
            it.finish()
        with self._mount("last", self._service) as mount, self._follower(self._service):
            for it in self._transcripts:
                self._comes_to_rest(it, mount)
        self._check()

    def _follower(self, account: Account) -> Follower:
        return Follower(self._home, self._file, account, self._project)

    def _mount(self, agent: str, account: Account) -> Mount:
        return Mount(
            self._home,
            f"s3://{account.bucket}/{self._project}",
            agent,
            *("--endpoint", account.endpoint, "--lease", str(LEASE)),
            *("--mirror", "all", "--mirror-all"),
            environment=credentials(account),
        )

    # what goes on meanwhile

    def _kill(
        self, mirror: Mount | Follower, how: Sequence[signal.Signals], chance: random.Random
    ) -> None:
        """End a mirror and start it again, over and over."""
        while not self._over.wait(chance.uniform(*LIVES)):
            mirror.end(chance.choice(how))
            self.kills += 1
            session = chance.choice(self._transcripts).session
            self._samples.append((session, self._bucket.generations(session)))
            self._start(mirror)

    def _start(self, mirror: Mount | Follower) -> None:
        """Start a mirror; one that its store did not answer in time says so, and is told again."""
        while True:
            try:
                return mirror.start()
            except AssertionError:
                if not mirror.log.rstrip().endswith(AGAIN):
                    raise

    def _merge(self, account: Account, chance: random.Random) -> None:
        while not self._over.wait(chance.uniform(*GAPS)):
            session = chance.choice(self._transcripts).session
            store = ("--store", f"s3://{account.bucket}/{self._project}")
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "tcfs.cli", "session", "compact", session, *store),
                    *("--endpoint", account.endpoint, "--keep-tail", str(chance.randrange(3))),
                ],
                env=environment(self._home, account),
                cwd=self._home,
                capture_output=True,
                text=True,
                check=False,
            )
            assert "Traceback" not in done.stderr, done.stderr
            self.merges += done.returncode == 0

    # what came of it

    def _comes_to_rest(self, transcript: Transcript, mount: Mount) -> None:
        path = mount.path / "sessions" / transcript.session / "transcript.jsonl"

        def whole() -> bool:
            try:
                return b"".join(lines_of(path.read_bytes())) == transcript.told.text
            except OSError as error:
                if error.errno in (ENOENT, ESTALE):  # another generation began as it was read
                    return False
                raise

        until(whole, f"{transcript.session}\n{mount.log}", COMMAND + PATIENCE)

    def _check(self) -> None:
        """Raise AssertionError where a generation is not what its source once began with."""
        for it in self._transcripts:
            found = self._bucket.generations(it.session)
            self.generations += len(found)
            try:
                _check(found, it.told)
                # What was stored once stays: no generation is taken away, or cut.
                for session, before in self._samples:
                    for number, text in before.items() if session == it.session else ():
                        assert found.get(number, b"").startswith(text), number
            except AssertionError as error:
                error.add_note(f"in {it.session}")
                raise


def _check(generations: Mapping[int, bytes], told: Told) -> None:
    moment = 0.0
    for number in sorted(generations):
        text = generations[number]
        assert SECRET.encode() not in text
        first, last = told.when(text)
        moment = max(moment, first)
        assert moment <= last, f"generation {number} is out of order"
    assert b"".join(lines_of(text)) == told.text


def burn(seed: int, seconds: float) -> str:
    """Make a run on a server of its own; return what there was of it. Raises AssertionError."""
    home = Path(tempfile.mkdtemp(prefix="tcfs-"))
    try:
        with SeaweedFS() as server:
            fire = Fire(home, server.account, "fire", seed)
            fire.run(seconds)
        return f"{fire.kills} kills, {fire.merges} merges, {fire.generations} generations"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    """Make one run after the other, each with the next seed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.mirrors.fire", description=__doc__
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=1)
    given = parser.parse_args(arguments)
    for seed in range(given.seed, given.seed + given.runs):
        print(f"seed {seed}: ", end="", flush=True)
        print(burn(seed, given.seconds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
