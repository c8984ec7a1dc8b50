"""Pure rules of the queue: what becomes of a mail after each attempt."""

from datetime import timedelta

LEASE = timedelta(seconds=20)
"""A claim that was not renewed for this long belongs to a process that died."""
WELCOME_LINK_LIFE = timedelta(days=7)
RESET_LINK_LIFE = timedelta(minutes=30)
_FIRST_DELAY = timedelta(seconds=1)
_LONGEST_DELAY = timedelta(minutes=15)
_LONGEST_OUTAGE_DELAY = timedelta(seconds=10)


def retry_delay(attempts: int, *, server_away: bool) -> timedelta:
    """Pause after the failed attempt number `attempts` (from 1).

    A server that is away costs nothing to ask again, one that said "later" wants to be left alone.
    """
    longest = _LONGEST_OUTAGE_DELAY if server_away else _LONGEST_DELAY
    return min(_FIRST_DELAY * 2 ** min(attempts - 1, 16), longest)
