"""Memory, mail and files by shell: what the tests of a subject leave out (tree.md)."""

import re
from datetime import datetime

import pytest

from tests.mounts import SOURCE, Mount, until

# memory


def test_the_last_writer_wins(here: Mount, there: Mount, x: str) -> None:
    """A new value replaces the old one: the last writer wins, and every version is kept."""
    here.out(f"echo one > memory/{x}")
    there.out(f"cp memory/{x} ../{x}; echo two >> ../{x}; cp ../{x} memory/{x}")
    here.out(f"echo three > memory/{x}.draft; mv memory/{x}.draft memory/{x}")
    assert there.out(f"cat memory/{x}") == "three\n"
    versions = there.out(f"ls memory/_history/{x} | tail -5").splitlines()
    assert [re.sub(r"^\d{19}_(\w+)_[0-9a-f]{8}$", r"\1", it) for it in versions] == [
        "designer",
        "developer",
        "designer",
    ]
    assert there.out(f"cat memory/_history/{x}/*") == "one\none\ntwo\nthree\n"
    for attempt in (f"rm memory/_history/{x}/*", f"rm -r memory/_history/{x}"):
        assert "Read-only file system" in here.sh(attempt).stderr


def test_keys_below_a_path_are_listed_there(here: Mount, there: Mount, x: str) -> None:
    """`memory/a/` lists the keys below `a`, and is not listed itself but in the mount that made it
    with `mkdir`, until `rmdir`. A key and longer keys under it stand side by side."""
    here.out(f"echo v > memory/{x}.a; echo w > memory/{x}.b.c")
    listed = f"ls memory | grep ^{x}"
    assert there.out(f"ls memory/{x}; {listed}") == f"a\nb.c\n{x}.a\n{x}.b.c\n"
    assert "No such file" in here.sh(f"echo v > memory/{x}-new/k").stderr
    here.out(f"mkdir memory/{x}-new; echo v > memory/{x}-new/k")
    assert here.out(f"ls -F memory | grep ^{x}-; ls memory/{x}-new") == f"{x}-new/\n{x}-new.k\nk\n"
    assert there.out(f"ls -F memory | grep ^{x}-") == f"{x}-new.k\n"
    here.out(f"rm memory/{x}-new.k; rmdir memory/{x}-new; [ ! -e memory/{x}-new ]")
    here.out(f"echo v > memory/{x}-side; echo w > memory/{x}-side.k; mkdir -p memory/{x}-d")
    assert there.out(f"cat memory/{x}-side memory/{x}-side.k") == "v\nw\n"
    # A name that longer keys have made a directory is no file any more.
    here.out(f"echo w > memory/{x}-d/k")
    assert "Is a directory" in there.sh(f"echo v > memory/{x}-d").stderr


# messages


def test_what_an_inbox_shows(here: Mount, there: Mount, x: str) -> None:
    """A line of an inbox is `[sent_at] (direct) from: text`, with `[step x]` where it is threaded;
    further lines are indented."""
    box = f"messages/{x}"
    here.out(f"echo v > as/{x}/memory/{x}")
    until(lambda: x in there.out("ls messages").split(), "the registration")
    here.out(f"echo one > {box}/inbox; printf 'Step: S1.A\\n\\ntwo\\nlines\\n' > {box}/inbox")
    there.out(
        f"printf 'Step: x\\nno header\\n\\n' >> {box}/inbox; echo {x} > messages/_broadcast/b"
    )
    own = there.out(f"cat {box}/inbox | sed '/(broadcast)/d'").splitlines()
    stamp = r"\[(20\S+)\] (.*)"
    heads = [re.fullmatch(stamp, it) for it in own if it.startswith("[")]
    assert [it[2] for it in heads if it] == [
        "(direct) designer: one",
        "(direct) designer [step S1.A]: two",
        "(direct) developer: Step: x",
    ]
    assert [datetime.fromisoformat(it[1]) for it in heads if it] == sorted(
        datetime.fromisoformat(it[1]) for it in heads if it
    )
    assert [it for it in own if not it.startswith("[")] == ["    lines", "    no header", "    "]
    assert f"(broadcast) developer: {x}\n" in there.out(f"cat {box}/inbox")
    assert f"developer: {x}\n" not in there.out("cat messages/developer/inbox")


def test_a_message_is_a_letter(here: Mount, there: Mount, x: str) -> None:
    """A message is a file: `From:`, `Date:`, `To:` and `Step:` lines, a blank line, the text. `rm
    inbox` succeeds and does nothing, so that `rm messages/me/*` clears a mailbox."""
    box = f"messages/{x}"
    here.out(f"mkdir {box}; printf 'Step: S1.A\\n\\nhi\\n' >> {box}/inbox; echo two >> {box}/inbox")
    letters = there.out(f"cd {box}; ls | grep _designer_").splitlines()
    assert all(re.fullmatch(r"\d{19}_designer_[0-9a-f]{8}", it) for it in letters)
    who, date, to, step, blank, text = there.out(f"cat {box}/{letters[0]}").splitlines()
    assert (who, to, step) == ("From: designer", f"To: {x}", "Step: S1.A")
    assert datetime.fromisoformat(date.removeprefix("Date: ")).tzinfo
    assert (blank, text) == ("", "hi")
    assert "Operation not permitted" in there.sh(f"rm {box}/{letters[0]}").stderr
    there.out(f"rm {box}/inbox")
    assert there.out(f"ls {box} | wc -l") == "3\n"
    there.out(f"rm as/{x}/{box}/*")
    assert there.out(f"ls {box}") == "inbox\n"


def test_what_was_sent_by_name_can_be_touched(here: Mount, there: Mount, x: str) -> None:
    """A name that was sent goes on resolving here for a minute, empty."""
    box = f"messages/{x}"
    here.out(f"mkdir {box}; echo hi > ../{x}.txt; cp -p ../{x}.txt {box}/")
    here.out(f"touch {box}/{x}.txt; chmod 644 {box}/{x}.txt; [ ! -s {box}/{x}.txt ]")
    assert f"{x}.txt" not in here.out(f"ls {box}")
    assert "No such file" in there.sh(f"cat {box}/{x}.txt").stderr
    assert there.out(f"ls {box} | grep -c _designer_; tail -qn 1 {box}/*_designer_*") == "1\nhi\n"


# artifacts


@pytest.mark.parametrize("place", ["artifacts/shared", "artifacts/{x}", "{x}", "steps/{x}"])
def test_files_are_ordinary(here: Mount, there: Mount, x: str, place: str) -> None:
    """A file is stored when its opener lets go, whole or not at all."""
    place = place.format(x=x)
    here.out(f"echo > steps/{x}/claim; mkdir -p {place}; cd {place}; cp {SOURCE}/README.md {x}")
    there.out(f"cd {place}; cmp {SOURCE}/README.md {x}; dd if={x} bs=7 skip=9 count=1 status=none")
    here.out(
        f"cd {place}; truncate -s 1000 {x}; printf mid | dd of={x} bs=1 seek=500 conv=notrunc"
        f" status=none; echo end >> {x}; sed -i 's/mid/MID/' {x}; touch {x}; chmod 600 {x};"
        f" mv {x} {x}.moved"
    )
    same = f"head -c 500 {SOURCE}/README.md | cmp -n 500 - {x}.moved"
    assert there.out(f"cd {place}; {same}; tail -c 4 {x}.moved; wc -c < {x}.moved") == "end\n1004\n"
    assert there.out(f"cd {place}; dd if={x}.moved bs=1 skip=500 count=3 status=none") == "MID"
    here.out(f"bash -c 'exec 7> {place}/{x}.moved; echo new >&7; kill -9 $$' || true")
    until(lambda: here.out(f"wc -c < {place}/{x}.moved") == "1004\n", "the old content")
    assert (
        there.out(f"wc -c < {place}/{x}.moved; rm -f {place}/{x}.moved || echo no")[:5] == "1004\n"
    )
