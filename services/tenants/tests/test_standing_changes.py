"""Suspension, plan, limits and flags of a tenant: what changes, what is told, what every service knows."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.world import Office

from common.context import SystemContext
from common.contracts import tenants as events
from common.contracts.envelope import Event
from common.db.session import TenantSession
from common.testing.harness import Harness
from tenants.lifecycle.service import reactivate, suspend
from tenants.models import CompanyRow
from tenants.tenant.queries import lock_company
from tenants.tenant.service import change_plan, override_features, override_limits

Change = Callable[[TenantSession, CompanyRow], Awaitable[None]]


async def change(company: Company, *changes: Change) -> CompanyRow:
    """Make the changes in one transaction and return the row as it is then."""
    context = SystemContext(company.tenant.tenant_id, "job", "tenants")
    async with company.service.kernel.database.tenant(context) as session:
        row = await lock_company(session)
        for make in changes:
            await make(session, row)
        await session.commit()
        return row


async def hear_own(office: Office, company: Company, name: str) -> dict[str, Any]:
    """The only event of this name, projected as every service does."""
    tenant_id = company.tenant.tenant_id
    (told,) = await office.emitted(tenant_id, name)
    event: type[Event] = getattr(events, told.pop("type"))
    await office.hear(tenant_id, event.model_validate(told))
    (row,) = await office.fetch(
        "SELECT status, plan, limits, features, version FROM tenancy.tenants WHERE tenant_id = $1", tenant_id
    )
    return {**row, "limits": json.loads(row["limits"]), "features": json.loads(row["features"])}


async def test_a_suspension_lasts_until_its_last_cause_is_gone(service: Harness, office: Office) -> None:
    company = await found(service, "starter")
    await change(company, lambda s, r: suspend(s, r, "unpaid"))
    await change(company, lambda s, r: suspend(s, r, "operator"), lambda s, r: suspend(s, r, "operator"))
    row = await change(company, lambda s, r: reactivate(s, r, "unpaid"))
    assert (row.status, row.suspensions) == ("suspended", ["operator"])
    assert (await hear_own(office, company, "TenantSuspended"))["status"] == "suspended"
    refused = await company.patch({"timezone": "Europe/Paris"})
    assert (refused.status_code, refused.json()["code"]) == (403, "tenant_suspended")
    assert (await company.get("/settings")).status_code == 200

    row = await change(company, lambda s, r: reactivate(s, r, "operator"))
    assert (row.status, row.suspensions) == ("active", [])
    assert (await hear_own(office, company, "TenantReactivated"))["status"] == "active"
    assert (await company.patch({"timezone": "Europe/Paris"})).status_code == 200


async def test_a_tenant_that_is_not_suspended_is_not_reactivated(service: Harness, office: Office) -> None:
    company = await found(service, "starter")
    await change(company, lambda s, r: reactivate(s, r, "unpaid"))
    assert await office.emitted(company.tenant.tenant_id, "TenantReactivated") == []


async def test_a_new_plan_brings_its_limits_and_flags_and_keeps_the_overrides(
    service: Harness, office: Office
) -> None:
    company = await found(service, "starter")
    await change(
        company,
        lambda s, r: override_limits(s, r, {"max_users": 42}),
        lambda s, r: override_features(s, r, {"beta_features": True}),
    )
    assert (await hear_own(office, company, "TenantLimitsUpdated"))["limits"]["max_users"] == 42
    assert (await hear_own(office, company, "TenantFeaturesUpdated"))["features"]["beta_features"] is True
    stale = (await company.get("/settings")).headers["ETag"]
    await change(company, lambda s, r: change_plan(s, r, "enterprise"))
    known = await hear_own(office, company, "TenantPlanChanged")
    assert known["plan"] == "enterprise"
    assert known["limits"] == {"max_workspaces": 1000, "max_users": 42, "email_sends_per_month": 5_000_000}
    assert known["features"]["custom_branding"] is True
    assert known["features"]["beta_features"] is True
    assert (await company.get("/settings")).json()["settings"]["limits"] == known["limits"]
    assert (await company.patch({"timezone": "Europe/Paris"}, if_match=stale)).status_code == 412


@pytest.mark.parametrize(
    "repeat",
    [
        lambda s, r: change_plan(s, r, "starter"),
        lambda s, r: override_limits(s, r, {}),
        lambda s, r: override_features(s, r, {}),
    ],
)
async def test_what_is_so_already_is_not_told(service: Harness, office: Office, repeat: Change) -> None:
    company = await found(service, "starter")
    before = len(await office.emitted(company.tenant.tenant_id))
    await change(company, repeat)
    assert len(await office.emitted(company.tenant.tenant_id)) == before
