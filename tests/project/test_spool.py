"""Mail on this host's disk, as threads put it there."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tcfs.project._outgoing import compose
from tcfs.project._spool import Spool
from tcfs.wire.ids import Mailbox
from tests.project.parties import A, B

MANY = 200


@pytest.fixture
def _threads_alternate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let threads take turns as often as they can, and the disk take no time."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_threads_alternate")
def test_mail_that_is_accepted_at_the_same_time_is_all_kept(tmp_path: Path) -> None:
    messages = [compose(Mailbox(A), B, f"{number}", None, number) for number in range(MANY)]
    for number in range(10):
        spool = Spool(tmp_path / f"{number}", "mount")
        with ThreadPoolExecutor(16) as pool:
            kept = list(pool.map(lambda it, spool=spool: spool.add(it, None), messages))
        assert {it.id for it in kept} == {it.id for it in messages}
        assert sorted(it.number for it in kept) == list(range(1, MANY + 1))
        for it in kept:
            spool.remove(it)
        spool.close()
        assert not list((tmp_path / f"{number}").iterdir())
