"""`tcfs init`, as a command, on a directory and on a bucket."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from tcfs.cli._failure import Exit

Tcfs = Callable[..., "subprocess.CompletedProcess[str]"]

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "SECRETEXAMPLE"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_init_on_this_host_registers_the_agent(tcfs: Tcfs, work: Path, home: Path) -> None:
    done = tcfs("init", "--backend", "file", "--agent", "designer")
    store = home / ".local/share/tcfs/work"
    assert (done.returncode, done.stderr) == (0, "")
    assert f"wrote {work}/.tracecraft.json: {store.as_uri()} as agent designer\n" in done.stdout
    agent = json.loads((store / "agents/designer.json").read_text())
    assert (agent["id"], agent["status"], agent["summary"]) == ("designer", "active", "Initialized")
    assert json.loads(tcfs("status", "--json").stdout)["agents"][0]["status"] == "active"


def test_init_makes_the_bucket_and_stores_no_key_of_the_environment(
    tcfs: Tcfs, work: Path, endpoint: str
) -> None:
    arguments = ["init", "--endpoint", endpoint, "--bucket", "fleet", "--agent", "designer"]
    for _ in range(2):  # again is as good
        done = tcfs(*arguments, **KEYS)
        assert (done.returncode, done.stderr) == (0, "")
    path = work / ".tracecraft.json"
    assert json.loads(path.read_text()) == {
        "backend": "s3",
        "bucket": "fleet",
        "endpoint": endpoint,
        "agent_id": "designer",
        "project": "work",
    }
    assert path.stat().st_mode & 0o777 == 0o600
    agents = json.loads(tcfs("status", "--json", **KEYS).stdout)["agents"]
    assert [agent["id"] for agent in agents] == ["designer"]


def test_keys_that_are_given_are_stored_and_used(tcfs: Tcfs, work: Path, endpoint: str) -> None:
    where = ["--endpoint", endpoint, "--bucket", "other", "--project", "p"]
    keys = ["--access-key", "AKIDEXAMPLE", "--secret-key", "SECRETEXAMPLE"]
    done = tcfs("init", *where, *keys)
    assert (done.returncode, done.stderr) == (0, "")
    assert "SECRETEXAMPLE" not in done.stdout
    assert json.loads((work / ".tracecraft.json").read_text())["secret_key"] == "SECRETEXAMPLE"
    assert tcfs("status").returncode == 0


def test_init_that_fails_leaves_nothing(tcfs: Tcfs, work: Path) -> None:
    done = tcfs("init", "--endpoint", "not a url", "--bucket", "fleet", **KEYS)
    assert done.returncode == Exit.FAILED
    assert done.stderr.startswith("tcfs: ")
    assert list(work.iterdir()) == []


def test_huggingface_is_refused_before_anything_is_written(tcfs: Tcfs, work: Path) -> None:
    done = tcfs("init", "--backend", "hf", "--bucket", "u/b", "--hf-token", "hf_secret")
    assert done.returncode == Exit.FAILED
    assert "does not mount hf:// yet" in done.stderr
    assert "hf_secret" not in done.stderr
    assert list(work.iterdir()) == []
