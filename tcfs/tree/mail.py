"""`messages/`: a directory a mailbox; writing to it sends (tree.md, messages)."""

from collections.abc import Sequence
from functools import partial
from typing import Final, final

import trio

from tcfs.project.errors import Invalid, MessageTooLong, Missing, NotAllowed, NotHolder
from tcfs.project.mail import MAX_MESSAGE
from tcfs.tree._base import (
    FIXED,
    FRESH,
    STATIC,
    Attributes,
    Caller,
    Directory,
    File,
    Handle,
    Node,
    OpenMode,
)
from tcfs.tree._scratched import Scratched
from tcfs.tree._text import Addition, Exact, Text, TextView
from tcfs.tree._unread import UnreadFile, WaitFile
from tcfs.tree._view import View
from tcfs.tree.plain import check_name
from tcfs.wire import InvalidName, keys
from tcfs.wire.ids import BROADCAST, AgentId, Mailbox, mailbox
from tcfs.wire.mail import parse_text

LINGER: Final = 60.0  # seconds a name that was sent goes on resolving: tree.md
PREFETCH: Final = 1000  # messages a listing fetches for their sizes: architecture.md
RESERVED: Final = {"unread": UnreadFile, "wait": WaitFile}  # unlisted


@final
class MessagesDirectory(Directory):
    """All mailboxes: of who is registered, or has mail, or was made here; and `_broadcast`."""

    __slots__ = ("_view",)
    keep = STATIC

    def __init__(self, path: str, view: View) -> None:
        super().__init__(path)
        self._view = view

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return a mailbox; mail to a misspelt agent is refused, not lost."""
        try:
            box = mailbox(name)
        except InvalidName:
            raise Missing(f"there is no mailbox {name}") from None
        if not await self._exists(box):
            raise Missing(f"there is no agent {name}: `ls agents`; mkdir messages/{name} makes it")
        return self._mailbox(name, box)

    async def _exists(self, box: Mailbox) -> bool:
        if box == BROADCAST or box in self._view.local.mailboxes:
            return True
        project = self._view.project
        # Agents do not go: whoever was there once can be written to while the store is away.
        if project.documents.has(keys.agent(AgentId(box))):
            return True
        return await project.agents.is_registered(box) or await project.mail.has_mail(box)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return every mailbox there is."""
        project = self._view.project
        known = {Mailbox(agent) for agent, _ in await project.agents.list()}
        boxes = known | self._view.local.mailboxes | {BROADCAST}
        for name in await project.mail.boxes():
            try:
                boxes.add(mailbox(name))
            except InvalidName:
                continue  # shows in .tcfs/raw only
        return [(box, self._mailbox(box, box)) for box in sorted(boxes)]

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """Make a mailbox for an agent that is not there yet; it lives in this mount."""
        box = mailbox(name)
        self._view.local.mailboxes.add(box)
        return self._mailbox(name, box)

    async def rmdir(self, name: str, caller: Caller) -> None:
        """Forget a mailbox that was made here."""
        box = mailbox(name)
        if box not in self._view.local.mailboxes:
            raise NotAllowed(f"messages/{name} is there as long as the agent is")
        self._view.local.mailboxes.discard(box)

    def _mailbox(self, name: str, box: Mailbox) -> Directory:
        return Scratched(MailboxDirectory(self.child(name), self._view, box), self._view)


@final
class MailboxDirectory(Directory):
    """One mailbox."""

    __slots__ = ("_box", "_view")
    keep = FRESH

    def __init__(self, path: str, view: View, box: Mailbox) -> None:
        super().__init__(path)
        self._view = view
        self._box = box

    async def lookup(self, name: str, caller: Caller) -> Node:
        """Return the inbox, a message, or for a minute a name that was just sent."""
        path = self.child(name)
        if name == "inbox":
            return InboxFile(path, self._view, self._box)
        if name in RESERVED and self._box == BROADCAST:
            raise Missing(f"what is for everybody is in each agent's own: messages/ME/{name}")
        if name in RESERVED:
            return RESERVED[name](path, self._view, self._box)
        if self._view.local.sent.get(path, 0.0) > trio.current_time():
            return SentFile(path)
        if name.endswith(".json"):
            leaf = name.removesuffix(".json")
            await self._exact(leaf)
            return Exact(path, lambda: self._exact(leaf))
        await self._view.project.mail.letter(self._box, name)
        return self._message(name)

    async def entries(self, caller: Caller) -> Sequence[tuple[str, Node]]:
        """Return the inbox and every message."""
        mail = self._view.project.mail
        listed = await mail.entries(self._box)
        sizes = {
            it.entry.key: len(it.message.letter().encode())
            async for it in mail.by_and_by(self._box, listed[:PREFETCH])
        }
        found: list[tuple[str, Node]] = [
            ("inbox", InboxFile(self.child("inbox"), self._view, self._box))
        ]
        for entry in listed:
            leaf = entry.key.rpartition("/")[2].removesuffix(".json")
            node = self._message(leaf)
            node.listed = Attributes(sizes.get(entry.key, 0), entry.modified, writable=False)
            found.append((leaf, node))
        return found

    async def create(self, name: str, mode: OpenMode, caller: Caller) -> tuple[File, Handle]:
        """Send what is written under any new name."""
        if name in RESERVED:
            raise NotAllowed(f"messages/{self._box}/{name} is a name of tcfs's own")
        check_name(name)
        path = self.child(name)
        handle = sender(self._view, self._box, caller)
        now, sent = trio.current_time(), self._view.local.sent
        for old in [it for it, until in sent.items() if until <= now]:
            del sent[old]
        sent[path] = now + LINGER
        return SentFile(path), handle

    async def unlink(self, name: str, caller: Caller) -> None:
        """Remove a message; the inbox is a view, and removing it does nothing."""
        path = self.child(name)
        if name == "inbox" or self._view.local.sent.pop(path, None) is not None:
            return
        if name in RESERVED:
            raise NotAllowed(f"{path} cannot be removed; reading it marks it as read")
        agent = self._view.acting(caller)
        if self._box == BROADCAST:
            raise NotAllowed("a broadcast is everybody's; it cannot be removed")
        if str(agent) != str(self._box):
            raise NotHolder(f"only {self._box} removes its mail; you are {agent}")
        await self._view.project.mail.delete(self._box, name)

    async def mkdir(self, name: str, caller: Caller) -> Directory:
        """Refuse: a message is a file."""
        raise NotAllowed(f"{self.path} holds messages; `>> {self.path}/inbox` sends one")

    def _message(self, leaf: str) -> TextView:
        # The kernel keeps what it was shown for long: the text of a message is not to be kept so.
        return TextView(self.child(leaf), partial(self._text, leaf))

    async def _text(self, leaf: str, caller: Caller | None) -> Text:
        found = await self._view.project.mail.letter(self._box, leaf)
        return Text(found.message.letter().encode(), found.entry.modified)

    async def _exact(self, leaf: str) -> Text:
        letter = await self._view.project.mail.letter(self._box, leaf)
        found = await self._view.project.documents.read(letter.entry.key, max_age=3600.0)
        if found is None:
            raise Missing(f"messages/{self._box} has no message {leaf}")
        return Text(found.body, found.modified)


@final
class InboxFile(File):
    """`inbox`: reading shows every message, writing sends one."""

    __slots__ = ("_box", "_view")
    keep = FIXED

    def __init__(self, path: str, view: View, box: Mailbox) -> None:
        super().__init__(path)
        self._view = view
        self._box = box

    async def attributes(self) -> Attributes:
        """Return the size it had when it was last read: a listing must not read all mail."""
        return Attributes(await self._view.local.inboxes.size(self._box))

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Read the mail, or begin a message."""
        if mode.write:
            return sender(self._view, self._box, caller)
        project = self._view.project
        letters = await project.mail.inbox(self._box)
        return self._view.local.inboxes.open(project, self._box, letters)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Take note: an inbox only grows, `>` sends as `>>` does."""


@final
class SentFile(File):
    """A name that was just sent, for programs that touch what they made."""

    __slots__ = ()

    async def open(self, mode: OpenMode, caller: Caller) -> Handle:
        """Open: there is nothing more to read, and nothing can be added."""
        if mode.truncate or mode.append:
            raise self.refusal()
        return Sent(self)

    async def truncate(self, size: int, caller: Caller) -> None:
        """Refuse: it was sent."""
        raise self.refusal()

    def refusal(self) -> Invalid:
        """Return what whoever writes to it is told."""
        return Invalid(f"{self.path} was sent; send another message under another name")


@final
class Sent(Handle):
    """What was just sent, open once more: editors do that to set its times."""

    __slots__ = ("_file",)

    def __init__(self, file: SentFile) -> None:
        self._file = file

    async def read(self, offset: int, size: int) -> bytes:
        """Return nothing."""
        return b""

    async def write(self, offset: int, data: bytes) -> int:
        """Refuse."""
        raise self._file.refusal()

    async def truncate(self, size: int) -> None:
        """Refuse."""
        raise self._file.refusal()


def sender(view: View, box: Mailbox, caller: Caller) -> Addition:
    """Return a handle that gathers one message and sends it when its opener lets go."""
    return Addition(partial(_send, view, box, view.acting(caller)), _check_size, at_once=False)


async def _send(view: View, box: Mailbox, agent: AgentId, content: bytes) -> None:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"text must be UTF-8 ({error}); put other bytes in artifacts/") from None
    step, body = parse_text(text)
    await view.project.send(box, agent, body, step)


def _check_size(size: int) -> None:
    if size > MAX_MESSAGE:
        raise MessageTooLong(
            f"a message holds {MAX_MESSAGE} bytes at most; share a file in artifacts/ instead"
        )
