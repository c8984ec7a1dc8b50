"""For how long events, and what remembers them, stay (`EVENT_RETENTION_DAYS`)."""

from datetime import timedelta

UPKEEP_PAUSE = timedelta(hours=1)
"""Between two rounds of upkeep, give or take a tenth."""
_WHOLE_DAYS = timedelta(days=2)
"""The history of events is dropped in whole days; the inbox remembers a day longer."""


def inbox_lasts(retention_days: int) -> timedelta:
    """How long a consumer remembers what it has handled: longer than anybody can publish it again."""
    return timedelta(days=retention_days) + _WHOLE_DAYS


def events_last(retention_days: int) -> timedelta:
    """How long after its publication an event is in no topic, history or inbox any more."""
    return inbox_lasts(retention_days) + 2 * UPKEEP_PAUSE
