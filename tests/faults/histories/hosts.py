"""Hosts of their own, as far as a mount can tell: a network, a host name, a cable to be cut.

Made of network namespaces, each with one virtual cable to here, and a relay at this end of it to
the one service. Only root can; elsewhere all mounts are on one host.
"""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final
from urllib.parse import urlsplit

from tests.servers import Account

_NET: Final = "10.213"
_PART: Final = 1 << 16


@final
@dataclass(frozen=True, slots=True)
class Host:
    """A host, and the account of the service as it is seen from there."""

    name: str
    account: Account
    cable: str
    environment: dict[str, str]

    def cut(self) -> None:
        """Let no packet through, either way, and tell nobody."""
        _ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        _ip("link", "set", self.cable, "up")


def possible() -> bool:
    """Tell whether hosts can be made here: by root, with its rights, where iproute2 is."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    probe = f"tcfs-p{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
    return made.returncode == 0


@contextmanager
def hosts(account: Account, count: int) -> Iterator[list[Host]]:
    """Yield so many hosts, from each of which the service is reached."""
    with ExitStack() as stack:
        yield [stack.enter_context(_host(account, number)) for number in range(count)]


@contextmanager
def _host(account: Account, number: int) -> Iterator[Host]:
    block = _free_block()
    name = f"tcfs-{block}"
    here, there = f"tcfs{block}a", f"tcfs{block}b"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        _ip("addr", "add", f"{_NET}.{block}.1/24", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", name, "addr", "add", f"{_NET}.{block}.2/24", "dev", there)
        _ip("-n", name, "link", "set", there, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        with _relay(f"{_NET}.{block}.1", account) as port:
            yield Host(
                f"host{number}",
                replace(account, endpoint=f"http://{_NET}.{block}.1:{port}"),
                here,
                {
                    "FAULTS_NETWORK": name,
                    "FAULTS_HOST": f"host{number}",
                    "NO_PROXY": f"{_NET}.{block}.1",
                    "no_proxy": f"{_NET}.{block}.1",
                },
            )
    finally:
        _ip("netns", "del", name)  # the cable goes with it


def _free_block() -> int:
    links = {it.name for it in Path("/sys/class/net").iterdir()}
    return next(it for it in range(1, 255) if f"tcfs{it}a" not in links)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@contextmanager
def _relay(address: str, account: Account) -> Iterator[int]:
    """Yield the port at `address` whose connections are passed on to the service."""
    where = urlsplit(account.endpoint)
    target = (where.hostname or "", where.port or 80)
    listener = socket.create_server((address, 0), backlog=128)
    threading.Thread(target=_accept, args=(listener, target), daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, target: tuple[str, int]) -> None:
    with suppress(OSError):  # until it is closed
        while True:
            near, _ = listener.accept()
            try:
                far = socket.create_connection(target)
            except OSError:
                near.close()
                continue
            threading.Thread(target=_join, args=(near, far), daemon=True).start()


def _join(near: socket.socket, far: socket.socket) -> None:
    """Pass on both ways, until either end is closed."""
    back = threading.Thread(target=_pass_on, args=(far, near), daemon=True)
    back.start()
    _pass_on(near, far)
    back.join()
    near.close()
    far.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(OSError):
        while part := source.recv(_PART):
            target.sendall(part)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
