"""Times as documents hold them: ISO 8601 in UTC with offset."""

from datetime import UTC, datetime
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = int((datetime.min.replace(tzinfo=UTC) - _EPOCH).total_seconds())
_LAST: Final = int((datetime.max.replace(microsecond=0, tzinfo=UTC) - _EPOCH).total_seconds())


def iso(nanoseconds: int) -> str:
    """Return a time in nanoseconds since 1970 as `2026-03-22T15:00:00.123456+00:00`.

    What lies before the year 1 or after 9999, as a hostile key may, is shown as their ends.
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.fromtimestamp(min(max(seconds, _FIRST), _LAST), UTC)
    moment = moment.replace(microsecond=rest // 1000)
    return moment.isoformat()


def nanoseconds(text: str | None) -> int | None:
    """Return an ISO 8601 time in nanoseconds since 1970; None if it is none.

    A time without an offset is taken as UTC, as every writer of the layout means it.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since = moment - _EPOCH
    except (ValueError, OverflowError):
        return None
    return (since.days * 86400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
