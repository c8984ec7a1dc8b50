"""Pure rules of deletions."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

SERVICES = frozenset({"auth", "tenants", "workspaces", "campaigns", "audit"})
"""Who must have erased the tenant before that can be certified."""

_WHOLE_DAYS = timedelta(days=2, hours=2)
"""The history of events is dropped in whole days, the inbox forgets a day later; both every hour."""


def events_last(retention_days: int) -> timedelta:
    """How long after its publication an event is past the retention of outbox histories and topics."""
    return timedelta(days=retention_days) + _WHOLE_DAYS


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
            "Stripe": "the customer and its invoices, under Stripe's own retention",
        },
    }


def rows_erased(certificate: Mapping[str, Any]) -> int:
    """All rows of all services."""
    return sum(sum(report["erased"].values()) for report in certificate["services"].values())
