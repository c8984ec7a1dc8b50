"""What operators do to a tenant; each act is an event of the tenant's, with the operator as its actor."""

from collections.abc import Mapping
from typing import Any

from common import clock
from common.bus import outbox
from common.contracts.tenants import TenantSuspensionLifted, TenantSuspensionOrdered
from common.db.session import TenantSession
from common.errors import Invalid
from tenants.lifecycle import service as lifecycle
from tenants.models import CompanyRow
from tenants.platform.rules import Flag, misfit, overridden
from tenants.tenant.service import override_features, override_limits


async def suspend(session: TenantSession, row: CompanyRow, reason: str) -> None:
    """Suspend the tenant of the locked `row` on an operator's word; a second time changes nothing."""
    if "operator" in row.suspensions:
        return
    await lifecycle.suspend(session, row, "operator")
    await _begin_change(session, row)
    event = TenantSuspensionOrdered(tenant_id=session.tenant_id, version=row.version, reason=reason)
    await outbox.emit(session, event)


async def reactivate(session: TenantSession, row: CompanyRow) -> None:
    """Lift what an operator suspended; another cause keeps the tenant of the locked `row` suspended."""
    if "operator" not in row.suspensions:
        return
    await lifecycle.reactivate(session, row, "operator")
    await _begin_change(session, row)
    event = TenantSuspensionLifted(tenant_id=session.tenant_id, version=row.version)
    await outbox.emit(session, event)


async def _begin_change(session: TenantSession, row: CompanyRow) -> None:
    """Give the locked `row` a version for what is told next: no two events of a tenant have the same."""
    row.updated_at = clock.now()
    await session.flush()


async def change_limits(session: TenantSession, row: CompanyRow, changes: Mapping[str, int | None]) -> None:
    """Override limits of the locked `row`; None gives one back to the plan."""
    await override_limits(session, row, overridden(row.limit_overrides, changes))


async def change_feature(
    session: TenantSession, row: CompanyRow, flag: Flag, value: bool | int | None
) -> None:
    """Override a flag of the locked `row`; None gives it back to the plan.

    Raises:
        Invalid: the flag cannot have this value.
    """
    problem = None if value is None else misfit(flag, value)
    if problem is not None:
        raise Invalid([("/value", problem)])
    changes: dict[str, Any] = {flag: value}
    await override_features(session, row, overridden(row.feature_overrides, changes))
