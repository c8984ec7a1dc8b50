"""What a tenant has, and how much of it is in use."""

import json
from datetime import timedelta

from services.tenants.tests.company import found
from services.tenants.tests.world import Office

from common import clock
from common.contracts.auth import UserDeactivated
from common.contracts.campaigns import EmailSendsReserved
from common.contracts.tenants import TenantFeaturesUpdated
from common.contracts.workspaces import WorkspaceArchived, WorkspaceCreated
from common.ids import Kind, new_id, to_text
from common.testing.harness import FEATURES, Harness


async def test_features_follow_the_plan(service: Harness) -> None:
    company = await found(service, "professional")
    _, member = await service.make_user(company.tenant)
    for token in (company.tenant.token, member):
        answer = await company.get("/features", token)
        assert answer.json() == {
            "tenant_id": to_text(Kind.TENANT, company.tenant.tenant_id),
            "features": {
                "api_rate_limit": 1200,
                "data_retention_days": 365,
                "custom_branding": False,
                "beta_features": False,
            },
        }


async def test_usage_counts_what_is_active(service: Harness, office: Office) -> None:
    company = await found(service, "starter")
    tenant_id, owner_id = company.tenant.tenant_id, company.tenant.owner_id
    left, member = await service.make_user(company.tenant)
    made = WorkspaceCreated(
        tenant_id=tenant_id, workspace_id=new_id(), version=1, name="B", slug="b", admin_id=owner_id
    )
    await office.hear(tenant_id, made)
    answer = await company.get("/usage")
    assert answer.json()["usage"] == {"workspaces": 2, "users": 2, "email_sends_this_month": 0}
    assert answer.json()["limits"] == {"max_workspaces": 3, "max_users": 3, "email_sends_per_month": 10_000}
    assert (await company.get("/usage", member)).status_code == 403
    await office.hear(
        tenant_id,
        WorkspaceArchived(tenant_id=tenant_id, workspace_id=made.workspace_id, version=2),
        UserDeactivated(tenant_id=tenant_id, user_id=left, version=2, at=clock.now()),
    )
    usage = (await company.get("/usage")).json()["usage"]
    assert usage == {"workspaces": 1, "users": 1, "email_sends_this_month": 0}


async def test_usage_counts_the_sends_of_this_month(service: Harness, office: Office) -> None:
    company = await found(service, "starter")
    tenant_id, this_month = company.tenant.tenant_id, clock.now().date().replace(day=1)
    before = (this_month - timedelta(days=1)).replace(day=1)
    for version, month, reserved in ((2, this_month, 150), (1, this_month, 100), (9, before, 9000)):
        event = EmailSendsReserved(
            tenant_id=tenant_id, version=version, month=month, reserved=reserved, added=50
        )
        await office.hear(tenant_id, event)
    assert (await company.get("/usage")).json()["usage"]["email_sends_this_month"] == 150


async def test_changed_features_reach_the_projection_and_never_go_backwards(
    service: Harness, office: Office
) -> None:
    tenant_id = (await service.make_tenant()).tenant_id
    for version, rate in ((3, 900), (2, 600)):
        features = FEATURES.model_copy(update={"api_rate_limit": rate, "beta_features": True})
        await office.hear(
            tenant_id, TenantFeaturesUpdated(tenant_id=tenant_id, version=version, features=features)
        )
    (row,) = await office.fetch(
        "SELECT features, version FROM tenancy.tenants WHERE tenant_id = $1", tenant_id
    )
    assert row["version"] == 3
    assert json.loads(row["features"]) == {
        **FEATURES.model_dump(),
        "api_rate_limit": 900,
        "beta_features": True,
    }
