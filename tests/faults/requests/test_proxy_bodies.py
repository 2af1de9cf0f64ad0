"""The proxy passes on whole requests only."""

import socket
from contextlib import closing
from urllib.parse import urlsplit

from tests.mounts import until
from tests.proxy import Answer, Proxy, Request
from tests.servers import HOST, Account


def test_a_request_whose_body_does_not_come_is_not_passed_on() -> None:
    asked: list[bytes] = []

    def rule(request: Request) -> Answer:
        asked.append(request.body)
        return Answer(200)

    with closing(socket.create_server((HOST, 0))) as nobody:
        service = Account(f"http://{HOST}:{nobody.getsockname()[1]}")
        with Proxy(service, rule) as proxy:
            port = urlsplit(proxy.account.endpoint).port or 0
            for body, length in ((b"whole", 5), (b"hal", 6), (b"whole too", 9)):
                with closing(socket.create_connection((HOST, port))) as client:
                    head = f"PUT /bucket/k HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"
                    client.sendall(head.encode() + body)
                    client.shutdown(socket.SHUT_WR)
                    answered = client.recv(1 << 16)
                    assert bool(answered) == (len(body) == length)
            until(lambda: len(proxy.asked) == 3, "all three requests")
    assert asked == [b"whole", b"whole too"]
