"""The overview as a page, for people with a browser: no script, nothing from elsewhere."""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final
from urllib.parse import quote

from tcfs.board._snapshot import LOCAL_ONLY, Snapshot
from tcfs.board._text import ago
from tcfs.wire.text import on_one_line
from tcfs.wire.times import iso, nanoseconds

REFRESH: Final = 15  # seconds until a browser that shows it asks for it again

# What agents write shows here: even if some of it slipped through as markup, it could do nothing.
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta http-equiv="refresh" content="{refresh}">
<meta name="viewport" content="width=device-width">
<title>{store}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.25rem }} h2 {{ font-size: 1rem; margin-top: 2rem }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #8884 }}
td.number {{ text-align: right }} .quiet {{ opacity: .7 }}
.warning {{ border-left: .3rem solid #d70; padding-left: .7rem }}
.active, .complete {{ color: #080 }} .in_progress, .needs_review {{ color: #a60 }}
.blocked, .failed, .stale {{ color: #c00 }} .offline, .pending {{ opacity: .7 }}
@media (prefers-color-scheme: dark) {{
.active, .complete {{ color: #6d6 }} .in_progress, .needs_review {{ color: #fb5 }}
.blocked, .failed, .stale {{ color: #f77 }}
}}
</style>
</head>
<body>
<h1>{store}</h1>
<p class="quiet">as of {taken}; again every {refresh} s</p>
{warnings}{sections}</body>
</html>
"""


def to_html(seen: Snapshot) -> str:
    """Return the overview as one page, whose links lead to the files beside it."""
    warnings = [] if seen.shared else [LOCAL_ONLY]
    if seen.warning:
        warnings.append(seen.warning)
    return _PAGE.format(
        store=_text(seen.store),
        taken=_text(iso(seen.taken)),
        refresh=REFRESH,
        warnings="".join(f'<p class="warning">{_text(it)}</p>\n' for it in warnings),
        sections="".join((_agents(seen), _steps(seen), _mailboxes(seen), _sessions(seen))),
    )


def _agents(seen: Snapshot) -> str:
    rows = [
        (
            _link(f"agents/{it.id}", it.id),
            _state(it.state),
            _link(f"steps/{it.document.step}/claim", it.document.step) if it.document.step else "",
            _text(ago(seen.taken - it.heartbeat)),
            _text(it.document.summary or ""),
        )
        for it in seen.agents
    ]
    return _section(
        f"Agents ({len(rows)})", ("agent", "state", "step", "last seen", "summary"), rows
    )


def _steps(seen: Snapshot) -> str:
    counts = Counter(it.state for it in seen.steps)
    tally = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    rows = [
        (_link(f"steps/{it.id}", it.id), _state(it.state), _text(it.agent or ""))
        for it in seen.steps
    ]
    title = f"Steps ({len(rows)}){': ' if tally else ''}{tally}"
    return _section(title, ("step", "state", "agent"), rows)


def _mailboxes(seen: Snapshot) -> str:
    rows = [
        (_link(f"messages/{it.name}", it.name), f"{it.total} messages") for it in seen.mailboxes
    ]
    return _section(f"Mailboxes ({len(rows)})", ("agent", "mail"), rows)


def _sessions(seen: Snapshot) -> str:
    last = nanoseconds(seen.sessions.last_uploaded_at)
    text = ""
    if last is not None:
        size = seen.sessions.uploaded_bytes / 1e6
        text = f"<p>{size:.1f} MB, last upload {_text(ago(seen.taken - last))}</p>\n"
    title = f"Sessions ({seen.sessions.count})"
    return f'<h2><a href="sessions">{_text(title)}</a></h2>\n{text}'


def _section(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    head = "".join(f"<th>{_text(it)}</th>" for it in heads)
    table = f"<table>\n<tr>{head}</tr>\n{lines}</table>\n" if lines else ""
    return f"<h2>{_text(title)}</h2>\n{table}"


def _state(word: str) -> str:
    return f'<span class="{_text(word)}">{_text(word)}</span>'


def _link(path: str, name: str) -> str:
    return f'<a href="{_text(quote(path, errors="replace"))}">{_text(name)}</a>'


def _text(text: str) -> str:
    """Return text as it stands in a page: escaped, control characters too."""
    return escape(on_one_line(text), quote=True)
