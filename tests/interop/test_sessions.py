"""What `tracecraft session mirror` uploads is a transcript in the tree, compacted or not."""

import json
from pathlib import Path
from typing import Final

from tests.interop.fleet import Fleet

SECRET: Final = "sk-ant-api03-" + "a" * 40
FOUND: Final = "[REDACTED:anthropic_key]"
CWD: Final = "/srv/app"  # where the sessions claim to have run; nothing is there


def line(session: str, number: int, text: str = "hello") -> str:
    """Return a line as Claude Code writes it."""
    message = {"role": "user", "content": f"{text} é {number}"}
    document = {"type": "user", "sessionId": session, "cwd": CWD, "message": message}
    return json.dumps(document, ensure_ascii=False) + "\n"


class Claude:
    """Claude Code in the reference's home, as far as its transcript goes, and its mirror."""

    def __init__(self, fleet: Fleet, session: str) -> None:
        self._reference = fleet.reference
        self.session = session
        self.folder = f"sessions/claude-code/{session}"
        folder = self._reference.home / ".claude" / "projects" / CWD.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        self.source: Path = folder / f"{session}.jsonl"

    def says(self, *lines: str) -> None:
        with self.source.open("a") as source:
            source.writelines(lines)

    def mirror(self, *options: str) -> None:
        self._reference.out(
            *("session", "mirror", "--harness", "claude-code", "--cwd", CWD),
            *("--session-id", self.session, *options),
        )

    def shown(self) -> str:
        """Return what `session show` reassembles, less its last newline."""
        said = self._reference.out("session", "show", self.session, "--tail", "100000")
        return said.partition("--- tail ---\n")[2].rstrip("\n")


def test_transcript_is_what_session_show_reassembles(fleet: Fleet) -> None:
    tree = fleet.tree
    claude = Claude(fleet, "5ca1ab1e-0000-4000-8000-000000000001")
    whole = ""
    for number in range(4):
        added = line(claude.session, number) + line(claude.session, number, SECRET)
        claude.says(added)
        claude.mirror()
        whole += added.replace(SECRET, FOUND)
        assert tree.out(f"cat {claude.folder}/transcript.jsonl") == whole
    assert claude.shown() == whole.rstrip("\n")
    meta = fleet.get(f"{claude.folder}/meta.json").decode()
    assert tree.out(f"cat {claude.folder}/meta.json") == meta
    assert tree.out(f"cat {claude.folder}/parts/*") == whole
    sizes = tree.out(f"stat -c %s {claude.folder}/transcript.jsonl {claude.folder}/parts/*")
    document = json.loads(meta)
    assert [int(it) for it in sizes.split()] == [
        document["total_uploaded_bytes"],
        *(it["uploaded_bytes"] for it in document["parts"]),
    ]


def test_transcript_is_the_source_where_nothing_is_redacted(fleet: Fleet) -> None:
    tree = fleet.tree
    claude = Claude(fleet, "5ca1ab1e-0000-4000-8000-000000000002")
    claude.says(line(claude.session, 1), '{"half": ')
    claude.mirror("--no-redact")
    tree.out(f"cmp {claude.source} {claude.folder}/transcript.jsonl")
    claude.says("1}\n", line(claude.session, 2, SECRET))
    claude.mirror("--no-redact")
    tree.out(f"cmp {claude.source} {claude.folder}/transcript.jsonl")


def test_transcript_is_the_same_before_and_after_compact(fleet: Fleet, newest: bool) -> None:
    tree, reference = fleet.tree, fleet.reference
    claude = Claude(fleet, "5ca1ab1e-0000-4000-8000-000000000003")
    for number in range(5):
        claude.says(line(claude.session, number))
        claude.mirror()
    if not newest:
        assert "No such command" in reference.refusal("session", "compact", claude.session)
        return
    path = tree.path / claude.folder / "transcript.jsonl"
    for options in (("--keep-tail", "2"), ()):
        with path.open("rb", buffering=0) as reader:
            begin = reader.read(10)
            before = len(tree.out(f"ls {claude.folder}/parts").split())
            reference.out("session", "compact", claude.session, *options)
            assert len(tree.out(f"ls {claude.folder}/parts").split()) < before
            assert begin + reader.read() == claude.source.read_bytes()
        tree.out(f"cmp {claude.source} {claude.folder}/transcript.jsonl")
        assert claude.shown() + "\n" == claude.source.read_text()
        meta = fleet.get(f"{claude.folder}/meta.json").decode()
        assert tree.out(f"cat {claude.folder}/meta.json") == meta
    claude.says(line(claude.session, 9))
    claude.mirror()
    tree.out(f"cmp {claude.source} {claude.folder}/transcript.jsonl")


def test_parts_that_only_the_listing_has_show_as_session_show_shows_them(fleet: Fleet) -> None:
    """Meta that names a lost part cannot be followed; both then read all that is listed."""
    tree = fleet.tree
    claude = Claude(fleet, "5ca1ab1e-0000-4000-8000-000000000004")
    for number in range(2):
        claude.says(line(claude.session, number))
        claude.mirror()
    fleet.put(f"{claude.folder}/part-00007-0123abcd.jsonl", b'{"later": true}\n')
    fleet.put(f"{claude.folder}/part-junk.jsonl", b'{"junk": true}\n')
    assert tree.out(f"cat {claude.folder}/transcript.jsonl") == claude.source.read_text()
    meta = json.loads(fleet.get(f"{claude.folder}/meta.json"))
    meta["parts"].append({"seq": 8, "uuid": "89abcdef", "uploaded_bytes": 7})
    fleet.put(f"{claude.folder}/meta.json", json.dumps(meta).encode())
    shown = tree.out(f"cat {claude.folder}/transcript.jsonl")
    assert shown == claude.source.read_text() + '{"later": true}\n'
    assert shown == claude.shown() + "\n"


def test_overview_has_the_totals_of_the_references_status(fleet: Fleet, newest: bool) -> None:
    tree, reference = fleet.tree, fleet.reference
    claude = Claude(fleet, "5ca1ab1e-0000-4000-8000-000000000005")
    claude.says(line(claude.session, 1))
    claude.mirror()
    ours = json.loads(tree.out("cat status.json"))["sessions"]
    listed = reference.out("session", "list")
    assert ours["count"] == listed.count("claude-code ")
    assert "SESSIONS (" in tree.out("cat status")
    if newest:
        assert json.loads(reference.out("status", "--json"))["sessions"] == ours
