"""Times as documents hold them: ISO 8601 in UTC with offset."""

from datetime import UTC, datetime


def iso(nanoseconds: int) -> str:
    """Return a time in nanoseconds since 1970 as `2026-03-22T15:00:00.123456+00:00`."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
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
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return (since.days * 86400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
