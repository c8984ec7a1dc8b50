"""What becomes of a deleted tenant's log: its events stay, without anything personal; all else goes."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text

from common.clock import rfc3339
from common.db.session import TenantSession
from common.erasure import BATCH, Erasing, Progress

_RECORDS = text("SELECT name, erased FROM audit.erase_records(:batch)")
_BLANK = text("SELECT last, blanked FROM audit.blank_events(:after, :batch)")
_BEGINNING = "0001-01-01T00:00:00Z"
_BLANKED = "audit.events (blanked)"


async def erase_records(session: TenantSession, progress: Progress) -> Mapping[str, int]:
    """Requests behind events, accesses to be judged, raw records, and which ids were the tenant's."""
    row = (await session.execute(_RECORDS, {"batch": BATCH})).one()
    return {row.name: row.erased} if row.erased else {}


async def blank_events(session: TenantSession, progress: Progress) -> Mapping[str, int]:
    """Take from events who it was, whence and about what; oldest first."""
    after = datetime.fromisoformat(progress.get("blanked_to", _BEGINNING))
    row = (await session.execute(_BLANK, {"after": after, "batch": BATCH})).one()
    if row.last is None:
        return {}
    progress["blanked_to"] = rfc3339(row.last)
    return {_BLANKED: row.blanked}


ERASING = Erasing(
    kept={
        "audit.events": "that something of a kind happened, when, and how it ended: evidence of the "
        "platform's own conduct; who it was, whence and about what is blanked",
        "audit.verdicts": "which of these events were attempts to cross a border; no personal data",
    },
    covered=frozenset(
        {"audit.action_contexts", "audit.open_accesses", "audit.quarantine", "audit.ownership"}
    ),
    erasers=(erase_records, blank_events),
)
