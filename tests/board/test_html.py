"""The page: what it says, and that nothing anybody wrote is more than text in it."""

from tcfs.board import MailboxSummary, Snapshot, StepState, to_html
from tcfs.project.agents import Presence
from tcfs.project.sessions import Totals
from tcfs.wire.documents import Agent
from tcfs.wire.ids import AgentId, Mailbox
from tests.board.page import Page

SECOND = 1_000_000_000  # nanoseconds
NOW = 1_800_000_000 * SECOND
HOSTILE = '<script>alert("x")</script>\x1b[31m\n</td>&amp;\'"'


def seen(**more: object) -> Snapshot:
    given: dict[str, object] = {
        "store": "s3://bucket/p",
        "shared": True,
        "claims": "atomic",
        "warning": None,
        "taken": NOW,
        "agents": [],
        "steps": [],
        "mailboxes": [],
        "sessions": Totals(0, 0, None),
    }
    return Snapshot(**{**given, **more})  # type: ignore[arg-type]  # each test's own


def agent(name: str, summary: str, step: str | None = None) -> Presence:
    document = Agent(id=name, status="active", summary=summary, step=step)
    return Presence(AgentId(name), document, "active", NOW - 5 * SECOND)


def test_it_says_who_is_there_and_what_is_done() -> None:
    page = Page(
        to_html(
            seen(
                agents=[agent("designer", "on the API", "design")],
                steps=[
                    StepState("design", "in_progress", "designer"),
                    StepState("b", "blocked", "x"),
                ],
                mailboxes=[MailboxSummary(Mailbox("dev"), 3)],
                sessions=Totals(2, 1_500_000, "2027-01-15T07:59:00+00:00"),
            )
        )
    )
    for said in (
        "s3://bucket/p",
        "Agents (1)",
        "on the API",
        "5 s ago",
        "Steps (2): 1 blocked, 1 in_progress",
        "Mailboxes (1)",
        "3 messages",
        "Sessions (2)",
        "1.5 MB, last upload 60 s ago",
    ):
        assert said in page.text, said
    assert {"agents/designer", "steps/design", "steps/design/claim", "messages/dev"} < {*page.links}


def test_an_empty_project_is_a_page_as_well() -> None:
    page = Page(to_html(seen(shared=False, warning="claims are refused")))
    assert "LOCAL ONLY, not shared between hosts" in page.text
    assert "claims are refused" in page.text
    assert "table" not in page.tags


def test_what_others_wrote_is_text_and_nothing_else() -> None:
    """Terminal escapes, markup and newlines of names and summaries are shown, and do nothing."""
    hostile = Page(
        to_html(
            seen(
                store=HOSTILE,
                agents=[agent(HOSTILE, HOSTILE, HOSTILE)],
                steps=[StepState(HOSTILE, "complete", HOSTILE)],
                mailboxes=[MailboxSummary(Mailbox(HOSTILE), 1)],
                sessions=Totals(1, 1, HOSTILE),
            )
        )
    )
    assert "script" not in hostile.tags
    assert '<script>alert("x")</script>\\x1b[31m\\x0a</td>&amp;' in hostile.text
    assert "\x1b" not in hostile.text
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]
    assert all(":" not in it and not it.startswith("/") for it in hostile.links), hostile.links


def test_it_loads_nothing_and_runs_nothing() -> None:
    source = to_html(seen())
    page = Page(source)
    assert {"script", "img", "link", "iframe"}.isdisjoint(page.tags)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    assert "http" not in source.replace("http-equiv", "")
