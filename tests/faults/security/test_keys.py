"""No name leads out of the project: not on a disk, and not in a bucket."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tcfs.stores import InvalidKey
from tcfs.stores.deadline import within
from tcfs.stores.s3 import S3Store
from tests.mounts import SOURCE, Mount, credentials
from tests.proxy import Proxy
from tests.servers import Account

NAMES: Final = (
    # `.` and `..` are the kernel's, which does not ask for them.
    *("...", "..x", "x..", ". ", " ..", "a.", "a ", "a\n", "a\nb", "a\tb", "a\x7f"),
    *("..\\..\\victim\\k", "a\\..\\..\\..\\victim", "\\victim", "%2e%2e", "%2e%2e%2fvictim", "%2F"),
    *("..%5cvictim", "%00", "\N{FULLWIDTH SOLIDUS}victim", "..\N{DIVISION SLASH}victim"),
    *("\N{ONE DOT LEADER}\N{ONE DOT LEADER}", "\N{FRACTION SLASH}", "e\u0301", "\u00e9", "\u202ex"),
    *(
        "\u2028x",
        "\x85x",
        "\ud800",
        "x" * 255,
        "é" * 127,
        "x" * 200,
        "é" * 100,
        "-rf",
        "~",
        "$HOME",
    ),
    *("claim.json", "_cursor.json", "x?versionId=1", "x#y", "x;y", "x&y=z", "a+b", "*", "'\"`"),
)
ENTRIES: Final = (
    *("as/{}/memory/by", "steps/{}/claim", "steps/x/{}", "memory/{}", "memory/_history/{}/x"),
    *("messages/{}/inbox", "messages/designer/{}", "agents/{}", "locks/{}", "memory/.{}.swp"),
    *("artifacts/shared/{}", "artifacts/{}/x", "{}/x", "sessions/claude-code/{}/meta.json"),
    *(".tcfs/raw/{}", ".tcfs/raw/memory/{}"),
)
# Through the kernel, as any program names files: in the order of a user's hands.
HANDS: Final = """
import os, sys
os.chdir(sys.argv[1])
for path in sys.stdin.buffer.read().split(b"\\0"):
    for act in (
        lambda: os.makedirs(os.path.dirname(path)),
        lambda: open(path, "ab", 0).write(b"out\\n"),
        lambda: open(path, "rb").read(),
        lambda: os.unlink(path),
        lambda: os.mkdir(path),
    ):
        try:
            act()
        except (OSError, ValueError):
            pass
"""


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tcfs-"))
    yield path
    shutil.rmtree(path)


def use(mount: Mount, names: tuple[str, ...], entries: tuple[str, ...] = ENTRIES) -> None:
    """Do all that a program can do under these names."""
    paths = [
        it.replace("{}", name).encode(errors="surrogatepass") for name in names for it in entries
    ]
    # A path of the kernel's is short, and none of the tree's names waits but `take`.
    given = b"\0".join(it for it in paths if len(it) < 4000 and b"\0" not in it)
    command = [sys.executable, "-c", HANDS, str(mount.path)]
    subprocess.run(command, input=given, check=True, timeout=100)
    assert "Traceback" not in mount.log


def test_no_name_leads_out_of_a_local_store(home: Path) -> None:
    (home / "victim").write_text("precious")
    below = home / "below"
    with Mount(home, str(below / "project"), "designer") as mount:
        use(mount, NAMES)
        mount.out("echo v > memory/k; [ $(cat memory/k) = v ]")
    assert [it.name for it in below.iterdir()] == ["project"]
    ours = {"below", "victim", "state", "cache", "mount-designer.log", "mnt-designer"}
    assert {it.name for it in home.iterdir()} <= ours
    assert (home / "victim").read_text() == "precious"


def test_no_name_leads_out_of_a_project_in_a_bucket(
    home: Path, seaweed: Account, project: str
) -> None:
    with Proxy(seaweed) as proxy:
        store = f"s3://{seaweed.bucket}/{project}"
        options = ("--endpoint", proxy.account.endpoint)
        signed = credentials(proxy.account)
        with Mount(home, store, "designer", *options, environment=signed) as mount:
            few = ("steps/{}/claim", "memory/{}", "artifacts/shared/{}")
            use(mount, NAMES[10:22], few)
    for method, key in proxy.asked:
        # An empty key is a request about the bucket: a listing, whose prefix is checked below.
        if key and key.rstrip("/") != seaweed.bucket and key != f"/{seaweed.bucket}":
            assert key.startswith(f"{project}/"), (method, key)
            names = key.replace("\\", "/").removeprefix(f"{project}/").split("/")
            depth = 0
            for name in names:
                depth += -1 if name == ".." else name not in ("", ".")
                assert depth >= 0, (method, key)


@pytest.mark.parametrize(
    "key",
    [
        *("..", "../victim/k", "a/../../victim/k", "a//../../victim", "./../victim"),
        *("..\\victim\\k", "a\\..\\..\\victim", "a\\../../victim", "memory/../../victim"),
    ],
)
async def test_a_key_that_leads_out_is_asked_of_no_service(moto: Account, key: str) -> None:
    with Proxy(moto) as proxy:
        store = S3Store(
            moto.bucket,
            "project",
            endpoint=proxy.account.endpoint,
            access_key=moto.access_key,
            secret_key=moto.secret_key,
        )
        with within(10):
            for attempt in (
                lambda: store.get(key),
                lambda: store.get_range(key, 0, 1),
                lambda: store.head(key),
                lambda: store.put(key, b"x"),
                lambda: store.put(key, b"x", if_absent=True),
                lambda: store.delete(key),
                lambda: store.copy("a", key),
                lambda: store.copy(key, "a"),
            ):
                with pytest.raises(InvalidKey):
                    await attempt()
            assert await store.list_dir(f"{key}/") == ([], [])
            assert [page async for page in store.list(key)] == []
            assert not await store.any_under(f"{key}/")
        await store.aclose()
        assert proxy.asked == []


@pytest.mark.parametrize("project", ["..", "a/../../b", ".", "a\\..\\b"])
def test_no_project_s_name_leads_elsewhere(home: Path, project: str) -> None:
    with pytest.raises(ValueError, match="part of a project"):
        S3Store("bucket", project)
    for backend, bucket in (("s3", "bucket"), ("file", str(home / "base"))):
        if backend == "file" and "\\" in project:
            continue  # there it is a letter as others are
        (home / ".tracecraft.json").write_text(
            f'{{"backend": "{backend}", "bucket": "{bucket}", "project": "{project}"}}'.replace(
                "\\", "\\\\"
            )
        )
        assert "project's name" in _said(home, "ls")
    assert "project's name" in _said(home, "ls", "--store", f"s3://bucket/{project}")


@pytest.mark.parametrize("agent", ["..", "a/b", "../x", "_x", ".x", "a\nb", "x" * 201])
def test_no_agent_s_id_leads_elsewhere(home: Path, agent: str) -> None:
    store = ("--store", str(home / "store"))
    for said in (
        _said(home, "put", *store, "--agent", agent, "memory/k"),
        _said(home, "put", *store, "memory/k", TRACECRAFT_AGENT=agent),
    ):
        assert "an agent id" in said, said
    assert not (home / "store").exists()


def _said(home: Path, *arguments: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tcfs.cli", *arguments],
        cwd=home,
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(SOURCE)} | environ,
        input="v\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done
    return done.stderr
