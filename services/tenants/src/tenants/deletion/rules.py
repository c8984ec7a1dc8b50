"""Pure rules of deletions."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal

SERVICES = frozenset({"auth", "tenants", "workspaces", "campaigns", "audit"})
"""Who must have erased the tenant before that can be certified."""

LEASE = timedelta(seconds=30)
"""A step that takes longer belongs to a process that died."""
SWEEP = timedelta(minutes=10)
"""After all have erased: whoever was writing a file of the tenant's then has ended, and the file is found."""
_FIRST_RETRY = timedelta(seconds=1)
_LONGEST_RETRY = timedelta(hours=1)
_FIRST_REMINDER = timedelta(hours=1)
_LONGEST_REMINDER = timedelta(days=1)


Stage = Literal["scheduled", "under_way", "certified"]
STAGES: Mapping[Stage, tuple[bool, bool]] = {
    "scheduled": (False, False),
    "under_way": (True, False),
    "certified": (True, True),
}
"""Which deletions have a status: begun or not, certified or not."""


def status_of(begun: bool, certified: bool) -> Stage:
    """The status of a deletion."""
    return next(stage for stage, facts in STAGES.items() if facts == (begun or certified, certified))


def missing_reports(reported: Iterable[str]) -> list[str]:
    """The services that have not said that they have erased a deleted tenant."""
    return sorted(SERVICES - {*reported})


def retry_delay(attempts: int) -> timedelta:
    """Pause after the failed attempt number `attempts` (from 1)."""
    return min(_FIRST_RETRY * 2 ** min(attempts - 1, 16), _LONGEST_RETRY)


def reminder_delay(reminders: int) -> timedelta:
    """How long services may take for their reports, after so many reminders."""
    return min(_FIRST_REMINDER * 2 ** min(reminders, 16), _LONGEST_REMINDER)


def make_certificate(
    tenant: str, times: Mapping[str, str], reports: Mapping[str, Mapping[str, Any]], retention_days: int
) -> dict[str, Any]:
    """The certificate: ids, times, numbers, reasons; nothing of what was erased."""
    return {
        "tenant_id": tenant,
        **times,
        "services": {service: dict(report) for service, report in sorted(reports.items())},
        "events": f"outbox histories and topics keep events for {retention_days} days: those of the tenant "
        "from before its deletion are past that",
        "kept_beside": {
            "tenants.deletions": "this certificate",
            "logs of other tenants": "identifiers that their own users have named in requests",
            "logs and traces": "identifiers, under the installation's own retention",
            "Stripe": "the customer and its invoices, under Stripe's own retention",
        },
    }


def rows_erased(certificate: Mapping[str, Any]) -> int:
    """All rows of all services."""
    return sum(sum(report["erased"].values()) for report in certificate["services"].values())
