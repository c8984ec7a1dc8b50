"""The one place that reads the wall clock."""

from datetime import UTC, datetime


def now() -> datetime:
    """Current time, UTC, microsecond precision."""
    return datetime.now(tz=UTC)


def rfc3339(moment: datetime) -> str:
    """RFC 3339 text in UTC with `Z` and microseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
