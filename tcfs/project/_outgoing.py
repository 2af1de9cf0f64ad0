"""A message on its way: what is decided before the first attempt, and the same in all of them."""

from dataclasses import dataclass
from typing import Final, final

from tcfs.project.errors import Invalid, MessageTooLong
from tcfs.wire import Malformed, keys
from tcfs.wire.ids import AgentId, Mailbox, fresh
from tcfs.wire.mail import Message
from tcfs.wire.times import iso

MAX_MESSAGE: Final = 1 << 20  # bytes: tree.md, messages


@final
@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that is to be stored: the same bytes whenever, and under whatever key, it is."""

    box: Mailbox
    sender: AgentId
    id: str
    body: bytes

    def key(self, stamp: int) -> str:
        """Return the key for an attempt that is begun at `stamp`, in nanoseconds since 1970."""
        return outgoing_key(self.box, self.sender, self.id, stamp)


def outgoing_key(box: Mailbox, sender: AgentId, id: str, stamp: int) -> str:
    """Return a message's key. Half of its id is in it, so that readers tell a second copy."""
    return f"{keys.mail(box)}{keys.AppendLeaf(stamp, sender, id[:8])}.json"


def compose(box: Mailbox, sender: AgentId, text: str, step: str | None, stamp: int) -> Outgoing:
    """Return a message that is sent at `stamp`; raises MessageTooLong, Invalid."""
    if len(text.encode(errors="surrogatepass")) > MAX_MESSAGE:
        raise MessageTooLong(
            f"a message holds {MAX_MESSAGE} bytes at most; share a file in artifacts/ instead"
        )
    unique = fresh()
    message = Message(sender=sender, to=box, text=text, sent_at=iso(stamp), step=step, id=unique)
    try:
        return Outgoing(box, sender, unique, message.encode())
    except Malformed as error:
        raise Invalid(str(error)) from None
