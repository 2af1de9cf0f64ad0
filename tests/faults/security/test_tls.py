"""A service is who its certificate says, by both ways in; what is not encrypted is known."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tcfs.stores import Unavailable
from tcfs.stores.deadline import within
from tcfs.stores.s3 import S3Store

NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"
LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


class _Listing(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(LISTING)))
        self.end_headers()
        self.wfile.write(LISTING)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, address: object) -> None:
        """Say nothing of clients that do not trust us."""


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an authority, and a server's certificate by it."""
    made = tmp_path_factory.mktemp("certificates")
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    authority = ("-keyout", made / "ca.key", "-out", made / "ca.pem", "-subj", "/CN=an authority")
    _openssl(*new, *authority)
    by = ("-CA", made / "ca.pem", "-CAkey", made / "ca.key", "-addext", "basicConstraints=CA:FALSE")
    server = ("-keyout", made / "key.pem", "-out", made / "server.pem", "-subj", "/CN=localhost")
    _openssl(*new, *server, *by, "-addext", NAMES)
    return made


@pytest.fixture(scope="module")
def endpoint(certificates: Path) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), _Listing)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "key.pem")
    # Each connection shakes hands in its own thread.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def store_at(endpoint: str) -> S3Store:
    return S3Store("bucket", "project", endpoint=endpoint, access_key="a", secret_key="s")


async def refused(endpoint: str) -> list[str]:
    """Return what is said by obstore's way in, and by boto3's."""
    store = store_at(endpoint)
    await store.prepare()
    said = []
    for ask in (lambda: store.list_dir(""), store.ensure_bucket):
        with pytest.raises(Unavailable) as told, within(3):
            await ask()
        said.append(str(told.value))
    await store.aclose()
    return said


async def test_a_service_that_nobody_vouches_for_is_refused(endpoint: str) -> None:
    before = _Listing.asked
    for said in await refused(endpoint):
        assert "its certificate is not trusted" in said
        assert "AWS_CA_BUNDLE=FILE.pem" in said
    assert _Listing.asked == before


async def test_an_authority_that_is_named_vouches_for_both_ways_in(
    endpoint: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates / "ca.pem"))
    store = store_at(endpoint)
    assert await store.list_dir("") == ([], [])
    await store.ensure_bucket()
    await store.aclose()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_is_none_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with pytest.raises(ValueError, match=r"AWS_CA_BUNDLE=.*bundle\.pem"):
        store_at("https://127.0.0.1:1")


@pytest.mark.parametrize(
    ("endpoint_url", "warned"),
    [
        ("http://minio:9000", True),
        ("http://192.0.2.7", True),
        ("http://127.0.0.1.example.com", True),
        ("http://127.0.0.1:9000", False),
        ("http://[::1]:9000", False),
        ("http://localhost:9000", False),
        ("http://s3.localhost", False),
        ("https://minio:9000", False),
    ],
)
def test_what_is_neither_encrypted_nor_on_this_host_is_known(
    endpoint_url: str, warned: bool
) -> None:
    assert store_at(endpoint_url).plaintext == (endpoint_url if warned else None)
