"""What a project refuses, whatever the store says. The text is for the agent that was refused.

Refused
 ├─ Held            somebody has it, the caller included
 ├─ Exists          there is such a thing already
 ├─ Missing         there is no such thing
 ├─ NotHolder       it belongs to another
 ├─ NotAllowed      nobody may do this here
 ├─ Invalid         a name or a text that cannot be meant
 ├─ TooLarge        a value above the limit
 ├─ MessageTooLong  a message above the limit
 ├─ ViewOnly        this is a view, and takes no writes
 ├─ OtherDirectory  it cannot be moved there; copy it
 ├─ NotEmpty        a directory that still has something in it
 ├─ WontComplete    what was waited for ended another way
 ├─ NothingLeft     there is no work, and none is under way
 └─ Busy            too many at once
"""

from typing import final


class Refused(Exception):
    """The base of the tree. The text says what happened and what to do next."""


@final
class Held(Refused):
    """Somebody has it, the caller included."""


@final
class Exists(Refused):
    """There is such a thing already."""


@final
class Missing(Refused):
    """There is no such thing."""


@final
class NotHolder(Refused):
    """It belongs to another."""


@final
class NotAllowed(Refused):
    """Nobody may do this here."""


@final
class Invalid(Refused):
    """A name or a text that cannot be meant."""


@final
class TooLarge(Refused):
    """A value above the limit."""


@final
class MessageTooLong(Refused):
    """A message above the limit."""


@final
class ViewOnly(Refused):
    """This is a view, and takes no writes."""


@final
class OtherDirectory(Refused):
    """It cannot be moved there; copying it is what `mv` does then."""


@final
class NotEmpty(Refused):
    """A directory that still has something in it."""


@final
class WontComplete(Refused):
    """What was waited for ended another way."""


@final
class NothingLeft(Refused):
    """No step is pending, and none is in progress."""


@final
class Busy(Refused):
    """Too many at once."""
