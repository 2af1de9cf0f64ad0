"""`.tcfs/outbox`: what this mount accepted and has not delivered, one line each."""

from tcfs.project.outbox import Kept, Outbox
from tcfs.wire.text import on_one_line


def outbox_text(outbox: Outbox) -> str:
    """Return the lines, in the order the mail will be sent; what was refused comes last."""
    waiting = "".join(f"waiting {_shown(it)}\n" for it in outbox.waiting)
    return waiting + "".join(
        f"refused {_shown(it)} ({on_one_line(it.refused or '')})\n" for it in outbox.refused
    )


def _shown(kept: Kept) -> str:
    names = f"{on_one_line(kept.sender)} -> {on_one_line(kept.box)}"
    return f"[{on_one_line(kept.sent_at)}] {names}: {on_one_line(kept.first_line)}"
