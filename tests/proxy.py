"""An S3 service that behaves badly: a loopback proxy before an honest one.

A rule looks at each request in turn; the first that gives an answer decides, else the request goes
on as it came, signature and all. Deterministic: nothing is left to chance or to a clock. The
rules here are vendors', which do wrong what they do; `tests/faults/requests/kinds.py` has what goes
wrong with a right one.
"""

import enum
import http.client
import select
import socket
import socketserver
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any, BinaryIO, Final, Self, final
from urllib.parse import unquote, urlsplit

from tests.servers import HOST, Account, boto3_client

TOGETHER: Final = 2.0  # seconds a writer of `racing` waits for another
DRIPS: Final = 20  # pieces of an answer that comes slowly
PAUSE: Final = 0.3  # seconds before each of them

_HOP: Final = {"connection", "transfer-encoding", "content-length", "keep-alive"}
_LOOK: Final = 0.05  # seconds between looks at whether the proxy ends


class Sent(enum.Enum):
    """How an answer gets to whoever asked."""

    WHOLE = enum.auto()
    HALF = enum.auto()  # the connection is reset in the middle of it
    SLOWLY = enum.auto()  # its body comes in drips
    ENDLESSLY = enum.auto()  # its body comes again and again; its header says how long that is


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What the service says."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    sent: Sent = Sent.WHOLE


UNANSWERED: Final = Answer(0)
"""The connection is closed without a word. What the service did before that, it did."""
RESET: Final = Answer(0, sent=Sent.HALF)
"""The same by a reset: in the middle of the request, where nobody has looked at its body."""


@final
class Upstream:
    """The service behind, by connections that are used again."""

    def __init__(self, service: Account) -> None:
        where = urlsplit(service.endpoint)
        self._where = (where.hostname or "", where.port)
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._closed = False

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        connection = self._connection()
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            said = connection.getresponse()
            answer = Answer(said.status, said.read(), dict(said.getheaders()))
        except BaseException:
            connection.close()
            raise
        if said.will_close:
            connection.close()
        else:
            self._idle.append(connection)
            if self._closed:  # while the service was answering
                self.close()
        return answer

    def close(self) -> None:
        self._closed = True
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _connection(self) -> http.client.HTTPConnection:
        with suppress(IndexError):
            while True:
                idle = self._idle.pop()
                if not _readable(idle.sock, 0):  # else the service has closed it meanwhile
                    return idle
                idle.close()
        fresh = http.client.HTTPConnection(*self._where)
        fresh.connect()
        fresh.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return fresh


@final
@dataclass
class Request:
    """What a client asks. Header names are in lower case."""

    service: Account
    method: str
    target: str
    headers: dict[str, str]
    upstream: Upstream
    read: Callable[[], bytes]
    hung_up: Callable[[float], bool]
    """Say nothing for so many seconds, or until whoever asked gives up; tell whether they did."""

    @cached_property
    def body(self) -> bytes:
        return self.read()

    @property
    def key(self) -> str:
        """The object that this is about, or nothing."""
        return unquote(urlsplit(self.target).path).removeprefix(f"/{self.service.bucket}/")

    @property
    def writes(self) -> bool:
        return self.method in ("PUT", "POST", "DELETE")

    @property
    def conditional(self) -> bool:
        """Whether this is a write under a condition."""
        return self.writes and bool(self.headers.keys() & {"if-match", "if-none-match"})

    def forward(self) -> Answer:
        """Ask the service behind exactly this."""
        return self.upstream.ask(self.method, self.target, self.headers, self.body)

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


def refusal(status: int, code: str, **headers: str) -> Answer:
    """Return an S3 error document."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, f"<Error><Code>{code}</Code></Error>".encode(), named)


def ignoring_conditions(request: Request) -> Answer | None:
    """Answer success to every write, whatever its condition: what some emulators do."""
    return request.unconditionally() if request.conditional else None


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
    return refusal(501, "NotImplemented") if request.conditional else None


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
        self.service: Final = service
        self.upstream: Final = Upstream(service)
        self.ends = threading.Event()
        self._server = _Server((HOST, 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.account: Final = replace(
            service, endpoint=f"http://{HOST}:{self._server.server_address[1]}"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.upstream.close()

    def answer(self, request: Request) -> Answer:
        self.asked.append((request.method, request.key))
        for rule in self.rules:
            said = rule(request)
            if said is not None:
                return said
        return request.forward()

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                # A client that was killed, or does not wait; a service that is away.
                with suppress(OSError, http.client.HTTPException):
                    _Conversation(proxy, self.request).go_on()

        return Handler


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128  # a connection that finds no room comes again after a second

    def shutdown_request(self, request: Any) -> None:
        request.close()  # no word before: a reset is one


@final
class _Conversation:
    """One connection of a client, request after request.

    `http.server` does this as well, and takes as long for it as the service behind does.
    """

    def __init__(self, proxy: Proxy, connection: socket.socket) -> None:
        self._proxy = proxy
        self._connection = connection
        # Unbuffered writes: an answer is one packet, and waits for none.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def go_on(self) -> None:
        with self._connection.makefile("rb") as stream:
            while self._one(stream):
                continue

    def _one(self, stream: BinaryIO) -> bool:
        """Answer one request; tell whether there may be another."""
        first = stream.readline().split()
        if len(first) != 3:
            return False
        headers: dict[str, str] = {}
        while line := stream.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()

        def read() -> bytes:
            if headers.get("expect", "").lower() == "100-continue":
                self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = int(headers.get("content-length") or 0)
            body = stream.read(length)
            if len(body) < length:
                # Sent on, the rest would be taken from the next request on that connection.
                raise ConnectionError("whoever asked gave up in the middle of it")
            return body

        proxy = self._proxy
        method, target = first[0].decode(), first[1].decode()
        request = Request(
            proxy.service, method, target, headers, proxy.upstream, read, self._hung_up
        )
        said = proxy.answer(request)
        if not said.status:
            if said.sent is Sent.HALF:
                _reset(self._connection)
            else:
                _ = request.body  # a close before what came was read is a reset
            return False
        _ = request.body  # the next request begins behind it
        return self._send(_head(method, said), b"" if method == "HEAD" else said.body, said.sent)

    def _send(self, head: bytes, body: bytes, how: Sent) -> bool:
        if how is Sent.WHOLE:
            self._connection.sendall(head + body)
            return True
        if how is Sent.HALF:
            half = head + body[: len(body) // 2] if body else head[: len(head) // 2]
            self._connection.sendall(half)
            _reset(self._connection)
            return False
        self._connection.sendall(head)
        while how is Sent.ENDLESSLY:
            self._connection.sendall(body)  # until whoever asked goes
        size = -(-len(body) // DRIPS) or 1
        for begin in range(0, len(body), size):
            if self._hung_up(PAUSE):
                return False
            self._connection.sendall(body[begin : begin + size])
        return True

    def _hung_up(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self._proxy.ends.is_set():
            left = end - time.monotonic()
            if left <= 0:
                return False
            # Nobody asks before there is an answer: what comes is the end.
            if _readable(self._connection, min(left, _LOOK)):
                return True
        return True


def _head(method: str, said: Answer) -> bytes:
    reason = HTTPStatus(said.status).phrase
    lines = [f"HTTP/1.1 {said.status} {reason}"]
    lines += [
        f"{name}: {value}" for name, value in said.headers.items() if name.lower() not in _HOP
    ]
    told = method == "HEAD" or said.sent is Sent.ENDLESSLY
    length = said.headers.get("Content-Length") if told else None
    if said.status not in (204, 304):
        lines.append(f"Content-Length: {length or len(said.body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _readable(connection: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _reset(connection: socket.socket) -> None:
    """Have the close be a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
