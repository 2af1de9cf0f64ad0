"""An S3 service that behaves badly: a loopback proxy before an honest one.

A rule looks at each request in turn; the first that gives an answer decides, else the request goes
on as it came, signature and all. Deterministic: nothing is left to chance or to a clock.
"""

import http.client
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self, final
from urllib.parse import unquote, urlsplit

from tests.servers import HOST, Account, boto3_client

TOGETHER: Final = 2.0  # seconds a writer of `racing` waits for another

_HOP: Final = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What the service says."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


UNANSWERED: Final = Answer(0)
"""The connection is closed without a word. What the service did before that, it did."""


@final
@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks. Header names are in lower case."""

    service: Account
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        """The object that this is about, or nothing."""
        return unquote(urlsplit(self.target).path).removeprefix(f"/{self.service.bucket}/")

    @property
    def writes(self) -> bool:
        return self.method in ("PUT", "POST", "DELETE")

    def forward(self) -> Answer:
        """Ask the service behind exactly this."""
        where = urlsplit(self.service.endpoint)
        with closing(http.client.HTTPConnection(where.hostname or "", where.port)) as connection:
            connection.putrequest(self.method, self.target, skip_host=True)
            for name, value in self.headers.items():
                if name != "connection":
                    connection.putheader(name, value)
            connection.endheaders(self.body or None)
            said = connection.getresponse()
            return Answer(said.status, said.read(), dict(said.getheaders()))

    def unconditionally(self) -> Answer:
        """Do what this asks, whatever its condition says."""
        with closing(boto3_client(self.service)) as client:
            at: dict[str, Any] = {"Bucket": self.service.bucket, "Key": self.key}
            if self.method == "DELETE":
                client.delete_object(**at)
                return Answer(204)
            etag = client.put_object(**at, Body=self.body)["ETag"]
            return Answer(200, headers={"ETag": etag})

    def exists(self) -> bool:
        with closing(boto3_client(self.service)) as client:
            found = client.list_objects_v2(Bucket=self.service.bucket, Prefix=self.key, MaxKeys=1)
            return any(it["Key"] == self.key for it in found.get("Contents", ()))


Rule = Callable[[Request], Answer | None]


def refusal(status: int, code: str) -> Answer:
    """Return an S3 error document."""
    return Answer(status, f"<Error><Code>{code}</Code></Error>".encode())


def ignoring_conditions(request: Request) -> Answer | None:
    """Answer success to every write, whatever its condition: what some emulators do."""
    conditions = request.headers.keys() & {"if-match", "if-none-match"}
    return request.unconditionally() if request.writes and conditions else None


def ignoring_if_match(request: Request) -> Answer | None:
    """Keep `If-None-Match` only."""
    return request.unconditionally() if request.writes and "if-match" in request.headers else None


def deleting_always(request: Request) -> Answer | None:
    """Delete whatever the condition says."""
    if request.method == "DELETE" and "if-match" in request.headers:
        return request.unconditionally()
    return None


def without_conditions(request: Request) -> Answer | None:
    """Answer NotImplemented to a write under a condition, as Backblaze B2 does."""
    conditions = request.headers.keys() & {"if-match", "if-none-match"}
    return refusal(501, "NotImplemented") if request.writes and conditions else None


def taking_no_writes(request: Request) -> Answer | None:
    """Refuse writes, as read-only credentials do."""
    return refusal(403, "AccessDenied") if request.writes else None


def racing() -> Rule:
    """Look first and write then: the first two that create a key find nothing there, and win."""
    lock = threading.Lock()
    seconds: dict[str, threading.Event] = {}

    def rule(request: Request) -> Answer | None:
        if request.method != "PUT" or "if-none-match" not in request.headers:
            return None
        exists = request.exists()
        with lock:
            first = request.key not in seconds
            second = seconds.setdefault(request.key, threading.Event())
            if not first and not second.is_set() and not exists:
                second.set()
                return request.unconditionally()
        if exists or not first:
            return refusal(412, "PreconditionFailed")
        second.wait(TOGETHER)
        return request.unconditionally()

    return rule


@final
class Proxy:
    """The service before `service` that obeys `rules`; they may be replaced while it runs."""

    def __init__(self, service: Account, *rules: Rule) -> None:
        self.rules = rules
        self.asked: list[tuple[str, str]] = []
        self._service = service
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.account: Final = replace(
            service, endpoint=f"http://{HOST}:{self._server.server_address[1]}"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, request: Request) -> Answer:
        self.asked.append((request.method, request.key))
        for rule in self.rules:
            said = rule(request)
            if said is not None:
                return said
        return request.forward()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # an answer is two writes: 40 ms each without this

            def handle(self) -> None:
                with suppress(ConnectionError):  # a client that was killed, or does not wait
                    super().handle()

            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(proxy._service, self.command, self.path, headers, body)
                said = proxy._answer(request)
                if said is UNANSWERED:
                    self.close_connection = True
                    return
                self.send_response_only(said.status)
                for name, value in said.headers.items():
                    if name.lower() not in _HOP:
                        self.send_header(name, value)
                length = said.headers.get("Content-Length") if self.command == "HEAD" else None
                if said.status not in (204, 304):
                    self.send_header("Content-Length", length or str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do

        return Handler
