"""A server on loopback that answers as it is told, byte by byte, or not at all."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers import HOST, Account

Behaviour = Callable[[socket.socket], None]


@dataclass
class Requests:
    """What the server has been asked: the first line of each request."""

    lines: list[str] = field(default_factory=list)


def answer(status: str, body: bytes = b"", **headers: str) -> Behaviour:
    """Answer with a status, and close."""

    def behave(connection: socket.socket) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return behave


def error(status: str, code: str, more: str = "", **headers: str) -> Behaviour:
    """Answer with an S3 error document."""
    return answer(status, f"<Error><Code>{code}</Code>{more}</Error>".encode(), **headers)


def close(connection: socket.socket) -> None:
    """Close without an answer."""


def reset(connection: socket.socket) -> None:
    """Reset the connection without an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def break_off(connection: socket.socket) -> None:
    """Reset the connection in the middle of a body."""
    connection.sendall(
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: "abc"\r\n'
        b"Last-Modified: Sun, 22 Nov 2026 14:00:29 GMT\r\n\r\nhalf"
    )
    reset(connection)


def hang(connection: socket.socket) -> None:
    """Answer nothing until the client gives up."""
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            continue


@contextmanager
def serving(*script: Behaviour) -> Iterator[tuple[Account, Requests]]:
    """Yield the account of a server that behaves so in turn, and as the last from then on."""
    seen = Requests()
    threads: list[threading.Thread] = []
    stopping = threading.Event()
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            while True:
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    if stopping.is_set():
                        connection.close()
                        return
                    thread = threading.Thread(target=converse, args=(connection,), daemon=True)
                    threads.append(thread)
                    thread.start()

        def converse(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                line = _request(connection)
                seen.lines.append(line)
                _nth(script, len(seen.lines))(connection)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield Account(f"http://{HOST}:{listener.getsockname()[1]}"), seen
        finally:
            stopping.set()
            socket.create_connection(listener.getsockname()).close()
            server.join(5)
            for thread in threads:
                thread.join(15)


@contextmanager
def refusing() -> Iterator[Account]:
    """Yield the account of a port nobody listens on."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield Account(f"http://{HOST}:{taken.getsockname()[1]}")


def _nth(script: Sequence[Behaviour], number: int) -> Behaviour:
    return script[min(number, len(script)) - 1]


def _request(connection: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(65536)
        if not more:
            break
        head += more
    line, _, rest = head.partition(b"\r\n")
    fields, _, body = rest.partition(b"\r\n\r\n")
    length = 0
    for name, _, value in (text.partition(b":") for text in fields.split(b"\r\n")):
        if name.lower() == b"content-length":
            length = int(value)
        if name.lower() == b"expect":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    while len(body) < length:
        body += connection.recv(65536)
    return line.decode()
