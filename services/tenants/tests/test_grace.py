"""A tenant that does not pay: warned, after its time suspended, and let in again as soon as it has paid."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.world import Office, ScriptedStripe

from common.testing.harness import Harness
from tenants.billing.rules import GRACE, banner_of, end_of_grace, must_suspend
from tenants.billing.worker import Clerk

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_the_grace_period_begins_once_and_ends_with_a_payment() -> None:
    end = end_of_grace("unpaid", None, NOW, GRACE)
    assert end == NOW + GRACE
    assert end_of_grace("canceled", end, NOW + timedelta(days=3), GRACE) == end
    assert end_of_grace("past_due", end, NOW, GRACE) == end
    assert end_of_grace("past_due", None, NOW, GRACE) is None
    assert end_of_grace("active", end, NOW, GRACE) is None
    assert not must_suspend("unpaid", end, NOW + GRACE - timedelta(seconds=1))
    assert must_suspend("unpaid", end, NOW + GRACE)
    assert not must_suspend("past_due", end, NOW + GRACE)


def test_the_banner_names_what_the_owner_must_do_something_about() -> None:
    told = {status: banner_of(status) for status in ("active", "past_due", "unpaid", "incomplete_expired")}
    assert told == {
        "active": None,
        "past_due": "past_due",
        "unpaid": "unpaid",
        "incomplete_expired": "canceled",
    }


@pytest.fixture
async def company(service: Harness, office: Office, clerk: Clerk) -> Company:
    """With a running trial."""
    made = await found(service, "starter")
    await attend(office, clerk, made.tenant.tenant_id)
    return made


async def attend(office: Office, clerk: Clerk, tenant_id: UUID) -> None:
    await office.make_due(tenant_id)
    await clerk.work_on(tenant_id)


async def end_grace(office: Office, company: Company) -> None:
    """Let the days go by: the timer is a column, nothing else remembers it."""
    await office.fetch(
        "UPDATE tenants.subscriptions SET suspend_at = now() - interval '1 second', "
        "next_attempt_at = now() - interval '1 second' WHERE tenant_id = $1",
        company.tenant.tenant_id,
    )


async def status_of(company: Company) -> str:
    return str((await company.get("")).json()["status"])


async def test_past_due_shows_a_banner_and_is_told(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    ((subscription, _, _),) = stripe.subscriptions
    stripe.change(subscription, status="past_due")
    await attend(office, clerk, company.tenant.tenant_id)
    shown = (await company.subscription()).json()
    assert (shown["status"], shown["banner"], shown["suspends_at"]) == ("past_due", "past_due", None)
    told = await office.emitted(company.tenant.tenant_id, "SubscriptionChanged")
    assert [event["status"] for event in told] == ["trialing", "past_due"]
    assert await status_of(company) == "active"


@pytest.mark.parametrize("status", ["unpaid", "canceled"])
async def test_unpaid_is_suspended_after_the_grace_period_and_back_with_the_payment(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe, status: str
) -> None:
    tenant_id = company.tenant.tenant_id
    ((subscription, _, _),) = stripe.subscriptions
    stripe.change(subscription, status=status)
    await attend(office, clerk, tenant_id)
    row = await office.subscription(tenant_id)
    assert row["suspend_at"] == row["next_attempt_at"], "the worker comes back by itself"
    assert timedelta(days=6.9) < row["suspend_at"] - datetime.now(UTC) < timedelta(days=7)
    shown = (await company.subscription()).json()
    assert (shown["banner"], shown["suspends_at"] is not None) == (status, True)
    await attend(office, clerk, tenant_id)
    assert (await office.subscription(tenant_id))["suspend_at"] == row["suspend_at"], "it does not begin anew"
    assert await status_of(company) == "active"

    await end_grace(office, company)
    await clerk.rounds.step()
    await clerk.rounds.finish()
    assert await status_of(company) == "suspended"
    (suspended,) = await office.emitted(tenant_id, "TenantSuspended")
    assert suspended["reason"] == "unpaid"
    assert len(stripe.held) == 1, "what ended is not made again"

    stripe.change(subscription, status="active")
    await attend(office, clerk, tenant_id)
    assert await status_of(company) == "active"
    assert len(await office.emitted(tenant_id, "TenantReactivated")) == 1
    shown = (await company.subscription()).json()
    assert (shown["banner"], shown["suspends_at"]) == (None, None)


async def test_nobody_is_suspended_who_paid_in_the_last_moment_or_while_stripe_is_away(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    tenant_id = company.tenant.tenant_id
    ((subscription, _, _),) = stripe.subscriptions
    stripe.change(subscription, status="unpaid")
    await attend(office, clerk, tenant_id)
    await end_grace(office, company)
    stripe.failures = ["stripe_unreachable"]
    await clerk.work_on(tenant_id)
    assert await status_of(company) == "active"
    stripe.change(subscription, status="active")
    await attend(office, clerk, tenant_id)
    assert await status_of(company) == "active"
    assert await office.emitted(tenant_id, "TenantSuspended") == []


async def test_the_length_of_the_grace_period_is_a_setting(
    company: Company, office: Office, clerk: Clerk, stripe: ScriptedStripe
) -> None:
    ((subscription, _, _),) = stripe.subscriptions
    stripe.change(subscription, status="unpaid")
    strict = Clerk(clerk.database, stripe, timedelta())  # type: ignore[arg-type]
    await attend(office, strict, company.tenant.tenant_id)
    assert await status_of(company) == "suspended"
