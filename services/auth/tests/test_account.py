"""The owner's account, made from the event, and `/auth/me`."""

from services.auth.tests.conftest import SignIn
from services.auth.tests.office import Office

from common.contracts import tenants as tenant_events
from common.contracts.auth import UserRoleChanged
from common.contracts.tenants import TenantProvisioned
from common.contracts.workspaces import WorkspaceArchived, WorkspaceMemberAdded
from common.ids import Kind, new_id, to_text
from common.testing.harness import FEATURES, LIMITS, Harness, bearer


async def test_a_new_tenant_has_one_owner_and_one_welcome_mail(service: Harness, office: Office) -> None:
    tenant = await service.make_tenant("Acme")
    (event,) = await office.emitted(tenant.tenant_id, "UserRegistered")
    workspace = to_text(Kind.WORKSPACE, tenant.workspace_id)
    assert event["role"] == "owner"
    assert event["version"] == 1
    assert event["memberships"] == [{"workspace_id": workspace, "role": "admin"}]
    assert (await office.mail_of(tenant.tenant_id))["kind"] == "welcome"


async def test_hearing_of_the_tenant_again_changes_nothing(service: Harness, office: Office) -> None:
    tenant = await service.make_tenant()
    again = TenantProvisioned(
        tenant_id=tenant.tenant_id,
        version=1,
        company_name="Again",
        plan="starter",
        limits=LIMITS,
        features=FEATURES,
        owner=tenant_events.Owner(user_id=tenant.owner_id, email="x@example.com", name="X"),
        default_workspace=tenant_events.DefaultWorkspace(
            workspace_id=tenant.workspace_id, name="Default", slug="default"
        ),
    )
    await service.handle(tenant.tenant_id, again)
    assert len(await office.emitted(tenant.tenant_id, "UserRegistered")) == 1
    assert (await office.mail_of(tenant.tenant_id))["facts"] == '{"company": "Example Ltd"}'


async def test_me_is_what_the_database_knows_now(service: Harness, sign_in: SignIn) -> None:
    tenant = await service.make_tenant()
    headers = bearer((await sign_in(tenant))["access_token"])
    me = (await service.client.get("/api/v1/auth/me", headers=headers)).json()
    assert me["user_id"] == to_text(Kind.USER, tenant.owner_id)
    assert me["role"] == "owner"
    workspace = to_text(Kind.WORKSPACE, tenant.workspace_id)
    assert me["workspaces"] == [{"workspace_id": workspace, "role": "admin"}]
    assert (me["mfa_enabled"], me["password_set"], me["email_verified"]) == (False, False, False)
    second = new_id()
    for event in (
        WorkspaceMemberAdded(
            tenant_id=tenant.tenant_id, workspace_id=second, version=1, user_id=tenant.owner_id, role="viewer"
        ),
        UserRoleChanged(
            tenant_id=tenant.tenant_id,
            user_id=tenant.owner_id,
            version=2,
            role="admin",
            previous_role="owner",
        ),
        WorkspaceArchived(tenant_id=tenant.tenant_id, workspace_id=tenant.workspace_id, version=2),
    ):
        await service.handle(tenant.tenant_id, event)
    me = (await service.client.get("/api/v1/auth/me", headers=headers)).json()
    assert me["role"] == "admin"
    assert me["workspaces"] == []
