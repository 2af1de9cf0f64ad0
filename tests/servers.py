"""Real S3 servers on loopback, for tests, benchmarks and the demo: SeaweedFS, and moto."""

import contextlib
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self, final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

HOST: Final = "127.0.0.1"
_START: Final = 30.0  # seconds
_STOP: Final = 10.0

# The options of `weed mini` that name a port; those not given are well-known numbers.
_PORTS: Final = (
    *("s3.port", "s3.port.grpc", "master.port", "master.port.grpc"),
    *("volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"),
    *("admin.port", "admin.port.grpc"),
)


@final
@dataclass(frozen=True, slots=True)
class Account:
    """How to reach a server's one bucket."""

    endpoint: str
    bucket: str = "bucket"
    access_key: str = "tester"
    secret_key: str = "tester-secret"
    region: str = "us-east-1"


def boto3_client(account: Account) -> Any:
    """Return a plain boto3 client: somebody else with the same bucket."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=account.endpoint,
        region_name=account.region,
        aws_access_key_id=account.access_key,
        aws_secret_access_key=account.secret_key,
        config=Config(
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on, below those the kernel gives to connections."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


@final
class SeaweedFS:
    """`weed mini`: master, volume, filer and S3 gateway in one process.

    `directory` keeps the data; without one, it is temporary and goes with `stop`.
    """

    def __init__(self, directory: Path | None = None, bucket: str = "bucket") -> None:
        """Choose the ports; `start` starts it."""
        self._temporary = None if directory else tempfile.mkdtemp(prefix="tcfs-weed-")
        self._directory = directory or Path(self._temporary or "")
        self._ports = free_ports(len(_PORTS))
        self._process: subprocess.Popen[bytes] | None = None
        self.log: Final = self._directory / "weed.log"
        self.account: Final = Account(f"http://{HOST}:{self._ports[0]}", bucket)

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start, and return once the bucket can be listed."""
        data = self._directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(_weed()), "mini", *self._options(data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env={
                    **os.environ,
                    "AWS_ACCESS_KEY_ID": self.account.access_key,
                    "AWS_SECRET_ACCESS_KEY": self.account.secret_key,
                },
                start_new_session=True,  # a Ctrl-C is for the tests, which then stop it
            )
        until = time.monotonic() + _START
        while not answers(self.account):
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"SeaweedFS does not answer:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it in good order, and remove its data if they are temporary."""
        self._end(signal.SIGTERM)
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def kill(self) -> None:
        """Stop it as a crash would; `start` begins again with what is on the disk."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again on the same ports and data."""
        self._end(signal.SIGTERM)
        self.start()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP)

    def _options(self, data: Path) -> Iterator[str]:
        for name, port in zip(_PORTS, self._ports, strict=True):
            yield f"-{name}={port}"
        yield from (
            f"-dir={data}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            f"-bucket={self.account.bucket}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            "-volume.preStopSeconds=0",
        )


@final
class Moto:
    """moto's S3 in a thread of this process."""

    def __init__(self, bucket: str = "bucket") -> None:
        """Choose the port; `start` starts it."""
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for every request
        (port,) = free_ports(1)
        self._server = ThreadedMotoServer(ip_address=HOST, port=port, verbose=False)
        self.account: Final = Account(f"http://{HOST}:{port}", bucket)

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start, and make the bucket."""
        self._server.start()
        with contextlib.closing(boto3_client(self.account)) as client:
            client.create_bucket(Bucket=self.account.bucket)

    def stop(self) -> None:
        """Stop, and forget everything."""
        self._server.stop()


def answers(account: Account) -> bool:
    """Tell whether a server lists its bucket."""
    store = S3Store(
        account.bucket,
        endpoint=account.endpoint,
        region=account.region,
        access_key_id=account.access_key,
        secret_access_key=account.secret_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": timedelta(seconds=2)},
        retry_config={"max_retries": 0},
    )
    try:
        obstore.list_with_delimiter(store)
    except BaseError:
        return False
    return True


def _weed() -> Path:
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        raise FileNotFoundError(f"{weed} is missing; install the development dependencies")
    return weed
