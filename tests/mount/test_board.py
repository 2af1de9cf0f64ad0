"""`board.html`, as a browser opens it."""

import os
from pathlib import Path
from urllib.parse import unquote

from tests.board.page import Page
from tests.mounts import Mount


def as_a_browser(path: Path) -> str:
    """Read a file as far as it says it goes, asked once it is open."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, size, 0).decode()
    finally:
        os.close(descriptor)


def test_a_browser_shows_it_and_its_links_lead_somewhere(mount: Mount, other: Mount) -> None:
    """`status.json` has the same for programs, `board.html` for people with a browser."""
    mount.out("echo > steps/design/claim; echo 'on the API' > agents/designer")
    mount.out("echo complete > 'steps/a #1 ?/status'; echo hi >> messages/developer/inbox")
    page = Page(as_a_browser(other.path / "board.html"))
    for said in ("LOCAL ONLY", "on the API", "Steps (2): 1 complete, 1 in_progress", "a #1 ?"):
        assert said in page.text, said
    assert len(page.links) == 6
    for link in page.links:
        assert (other.path / unquote(link)).exists(), link
    mount.out("echo complete > steps/design/status")
    assert "Steps (2): 2 complete" in Page(as_a_browser(other.path / "board.html")).text


def test_it_is_a_view(mount: Mount) -> None:
    assert "board.html" in mount.out("ls").split()
    for attempt in ("echo x > board.html", "rm board.html", "touch board.html", "mv board.html b"):
        assert "Read-only file system" in mount.sh(attempt).stderr, attempt
    assert mount.out("head -c 15 board.html; grep -c 'Agents (1)' board.html") == (
        "<!doctype html>1\n"
    )
