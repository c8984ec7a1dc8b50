"""Pure rules of refresh tokens."""

from datetime import datetime, timedelta

GRACE = timedelta(seconds=10)
"""How long a client may still send a token that a parallel request of its own has spent."""


def is_parallel_use(spent_at: datetime, now: datetime, *, successor_used: bool) -> bool:
    """Whether a spent token may come from a second request of the same client."""
    return now - spent_at <= GRACE and not successor_used
