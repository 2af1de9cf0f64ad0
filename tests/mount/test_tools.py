"""What goes through everything: it ends, harms nothing, and says the same twice."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounts import Mount

COMMANDS = {
    "find": "find . -type f | grep -q '^./steps/x/claim$'",
    "find -newer": "find . -newer memory/design.api > ../o",
    "grep": "grep -rl 'GET /v2' . | grep -qx ./memory/design.api",
    "du": "du -a . > ../o; tail -1 ../o | grep -q '[.]$'",
    "tar": "tar cf ../t.tar .",  # which fails if a file or a directory changed meanwhile
    "cp": "cp -a . ../copy && diff -r -x status -x board.html -x metrics . ../copy",
    "ls": "ls -laR . > ../o",
    "wc": "find . -type f -exec wc -c {} + > ../o",
    "git status": "git init -q ../repo; git --git-dir ../repo/.git --work-tree . status --short",
    "git add": "git init -q ../repo; git --git-dir ../repo/.git --work-tree . add -A",
}


@pytest.fixture
def full(mount: Mount, other: Mount) -> Mount:
    """Return a mount in which something of everything is."""
    mount.out(
        "echo 'on it' > steps/x/claim; seq 1000 > steps/x/log.txt; echo note > steps/x/handoff;"
        " echo complete > steps/y/status; echo 'GET /v2' > memory/design.api; mkdir memory/made;"
        " echo v > memory/.k.swp; echo v > memory/k~; echo busy > agents/designer"
    )
    other.out("echo hello >> messages/designer/inbox; echo all >> messages/_broadcast/inbox")
    return mount


def objects(mount: Mount) -> str:
    return mount.out("find .tcfs/raw -type f | sort")


@pytest.mark.parametrize("command", COMMANDS)
def test_it_goes_through_everything_and_changes_nothing(full: Mount, command: str) -> None:
    """`find`, `grep -r`, `du`, `tar`, `cp -a`, `rsync` and `git` over the whole mount end, mark
    no mail as read, and store nothing."""
    before, refusals = objects(full), full.errors()
    assert "cursors" not in before
    full.out(COMMANDS[command])
    assert objects(full) == before
    assert full.errors() == refusals
    assert "WARNING" not in full.log
    assert "ERROR" not in full.log


def copied(source: Path, target: Path) -> Iterator[tuple[str, int, int]]:
    """Copy as `rsync -a` does, which reads as many bytes as it was told; yield what it compares."""
    target.mkdir(exist_ok=True)
    for entry in sorted(os.scandir(source), key=lambda it: it.name):
        told = entry.stat(follow_symlinks=False)
        yield entry.path, told.st_size, told.st_mtime_ns
        if stat.S_ISDIR(told.st_mode):
            yield from copied(Path(entry.path), target / entry.name)
            continue
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW)
        content = os.read(descriptor, told.st_size)
        os.close(descriptor)
        assert len(content) == told.st_size, entry.path
        (target / entry.name).write_bytes(content)


def test_a_git_repository_is_an_artifact(mount: Mount, home: Path) -> None:
    (home / ".gitconfig").write_text("[user]\nname = me\nemail = me@example.org\n")
    mount.out(
        "mkdir artifacts/shared/repo; cd artifacts/shared/repo; git init -q .; echo v > file;"
        " git add file; git commit -qm first; git status --short > ../../../../status;"
        " git fsck --strict 2> /dev/null; [ $(git log --oneline | wc -l) = 1 ]",
        HOME=str(home),
    )
    assert (home / "status").read_text() == ""
    mount.out("rm -r -f artifacts/shared/repo; ! ls artifacts/shared | grep .")


def test_rsync_twice_finds_nothing_new(full: Mount, home: Path) -> None:
    before = objects(full)
    first = list(copied(full.path, home / "copy"))
    again = list(copied(full.path, home / "copy"))
    # A listing reads no mail: an inbox has the size that it had when it was last opened.
    assert {path for path, *_ in set(again) - set(first)} <= {
        str(it) for it in full.path.glob("messages/*/inbox")
    }
    assert list(copied(full.path, home / "copy")) == again
    assert objects(full) == before
    assert (home / "copy" / "memory" / "design.api").read_text() == "GET /v2\n"
    shutil.rmtree(home / "copy")
