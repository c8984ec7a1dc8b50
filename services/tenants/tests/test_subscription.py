"""The subscription as its owner sees it."""

from services.tenants.tests.company import found
from services.tenants.tests.world import Office, ScriptedStripe

from common.testing.harness import Harness
from tenants.billing.worker import Clerk


async def test_the_owner_sees_plan_status_and_limits(
    service: Harness, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    company = await found(service, "professional")
    before = (await company.subscription()).json()
    assert (before["plan"], before["status"]) == ("professional", "pending")
    assert before["limits"] == {"max_workspaces": 10, "max_users": 5, "email_sends_per_month": 50_000}
    await office.make_due(company.tenant.tenant_id)
    await clerk.work_on(company.tenant.tenant_id)
    after = await company.subscription()
    assert after.json()["status"] == "trialing"
    ((customer, _, _),) = stripe.customers
    ((subscription, _, _),) = stripe.subscriptions
    assert customer not in after.text
    assert subscription not in after.text


async def test_only_the_owner_sees_it(service: Harness) -> None:
    company = await found(service, "starter")
    for role in ("admin", "member"):
        _, token = await service.make_user(company.tenant, role)
        answer = await company.subscription(token)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_without_a_subscription_there_is_nothing(service: Harness) -> None:
    tenant = await service.make_tenant()
    answer = await service.client.get("/api/v1/billing/subscription", headers=tenant.headers)
    assert answer.status_code == 404
