"""Every kind of store, empty, for the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tcfs.stores import Store
from tcfs.stores.file import FileStore
from tcfs.stores.s3 import S3Store
from tests.servers import Account


def s3_store(account: Account, project: str, **how: object) -> S3Store:
    """Return a store for a project on a test server."""
    given: dict[str, object] = {
        "endpoint": account.endpoint,
        "region": account.region,
        "access_key": account.access_key,
        "secret_key": account.secret_key,
    }
    return S3Store(account.bucket, project, **{**given, **how})  # type: ignore[arg-type]  # kwargs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the directory of `local`, which is not there yet."""
    return tmp_path / "data" / "project"


@pytest.fixture
def local(root: Path) -> FileStore:
    """Return a store in a directory."""
    return FileStore(root)


@pytest.fixture(params=["local", "moto", "seaweed"])
def store(request: pytest.FixtureRequest, project: str) -> Iterator[Store]:
    """Yield a store of each kind, empty."""
    if request.param == "local":
        yield request.getfixturevalue("local")
        return
    # SeaweedFS looks once a second whether a contended key's lock is free: losers wait for long.
    made = s3_store(request.getfixturevalue(request.param), project, request_timeout=25.0)
    yield made
    trio.run(made.aclose)


@pytest.fixture(params=["moto", "seaweed"])
def account(request: pytest.FixtureRequest) -> Account:
    """Return the account of each S3 server."""
    found: Account = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def s3(account: Account, project: str) -> Iterator[S3Store]:
    """Yield an empty store on each S3 server."""
    made = s3_store(account, project)
    yield made
    trio.run(made.aclose)
