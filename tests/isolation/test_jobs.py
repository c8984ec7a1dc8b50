"""Jobs look across tenants for what is due, then work in one tenant at a time: in its rows, for its people.

Workers are discovered; one that no test here makes work fails the run.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date

import asyncpg
import pytest
from services.auth.tests.office import ScriptedServer
from services.tenants.tests.world import ScriptedStripe

from auth.mail.worker import Postman
from auth.settings import settings_of
from common.context import SystemContext, TenantContext
from common.db.session import Database
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.metric_names import DELETIONS_AGE, EXPORTS_AGE, SIGN_UPS_UNFINISHED
from common.testing.harness import Harness, MadeTenant
from common.testing.measuring import value_of
from tenants.billing.orders import Comparer, order
from tenants.billing.reconciliation import Calendar
from tenants.billing.worker import Clerk
from tenants.lifecycle import watch
from tenants.provisioning.watch import look
from tenants.webhook.worker import Reader
from tests.isolation.installation import World
from tests.isolation.seeds import sign_up
from tests.isolation.services import SERVICES, service_of

TRIED = {
    "auth.mail.worker.send_mails": "test_each_mail_speaks_of_its_own_tenant",
    "tenants.billing.worker.settle_billing": "test_each_bill_is_settled_in_its_own_tenant",
    "tenants.deletion.worker.delete_tenants": "services/tenants/tests/test_deletion.py",
    "tenants.custom_domain.worker.recheck_domains": "services/tenants/tests/test_domain_checks.py",
    "tenants.export.worker.finish_exports": "test_export.py",
    "tenants.provisioning.watch.watch_sign_ups": "test_sign_ups_are_counted_without_entering_their_tenants",
    "tenants.lifecycle.watch.watch_departures": "test_departures_are_measured_without_entering_their_tenants",
    "tenants.webhook.worker.take_in_events": "test_an_event_of_stripes_has_its_own_tenant_looked_at",
    "tenants.billing.reconciliation.reconcile_daily": "test_billing_is_compared_in_each_tenant",
    "tenants.billing.orders.reconcile_ordered": "test_an_ordered_comparison_is_of_its_own_tenant",
    "audit.ingest.worker.ingest": "test_events.py: one role for all tenants, one log for each",
}
"""Every loop of a service's own, and which test makes it work for two tenants."""


def test_every_worker_is_tried() -> None:
    services = [service_of(name) for name in SERVICES]
    loops = [loop for service in services for loop in (*service.workers, *service.consumers)]
    assert {f"{loop.__module__}.{loop.__qualname__}" for loop in loops} == TRIED.keys()


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[TenantContext]:
    """The contexts in which sessions were opened."""
    contexts: list[TenantContext] = []
    tenant = Database.tenant

    def noted(self: Database, context: TenantContext) -> object:
        contexts.append(context)
        return tenant(self, context)

    monkeypatch.setattr(Database, "tenant", noted)
    return contexts


@pytest.fixture
async def sql(world: World) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(world.database.superuser_url)
    yield connection
    await connection.close()


async def work_until(step: Callable[[], Awaitable[None]], done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():
            await step()


async def pair(harness: Harness) -> list[MadeTenant]:
    """Two tenants that have nothing behind them."""
    return [await harness.make_tenant(company) for company in ("Anchor Ltd", "Bottle Ltd")]


@pytest.mark.parametrize("world", ["tenants"], indirect=True)
async def test_sign_ups_are_counted_without_entering_their_tenants(
    world: World, entered: list[TenantContext]
) -> None:
    for tenant in await pair(world.harness):
        await sign_up(world.harness, tenant)
    entered.clear()
    await look(world.harness.kernel)
    assert value_of(SIGN_UPS_UNFINISHED) >= 2
    assert [context.tenant_id for context in entered] == [PLATFORM_TENANT]


@pytest.mark.parametrize("world", ["tenants"], indirect=True)
async def test_departures_are_measured_without_entering_their_tenants(
    world: World, sql: asyncpg.Connection, entered: list[TenantContext]
) -> None:
    one, other = await pair(world.harness)
    await sql.execute(
        "INSERT INTO tenants.deletions (tenant_id, scheduled_at, erase_at, next_step_at) "
        "VALUES ($1, now(), now() - interval '400 days', now())",
        one.tenant_id,
    )
    await sql.execute(
        "INSERT INTO tenants.exports (tenant_id, job_id, requested_at, next_step_at) "
        "VALUES ($1, gen_random_uuid(), now() - interval '300 days', now())",
        other.tenant_id,
    )
    entered.clear()
    await watch.look(world.harness.kernel)
    assert value_of(DELETIONS_AGE) >= 400 * 86_400
    assert value_of(EXPORTS_AGE) >= 300 * 86_400
    assert [context.tenant_id for context in entered] == [PLATFORM_TENANT]
    for table in ("deletions", "exports"):
        await sql.execute(
            f"DELETE FROM tenants.{table} WHERE tenant_id IN ($1, $2)", one.tenant_id, other.tenant_id
        )


@pytest.mark.parametrize("world", ["auth"], indirect=True)
async def test_each_mail_speaks_of_its_own_tenant(
    world: World, sql: asyncpg.Connection, entered: list[TenantContext]
) -> None:
    await sql.execute("UPDATE auth.mails SET state = 'refused' WHERE state = 'queued'")
    tenants, server = await pair(world.harness), ScriptedServer()
    kernel = world.harness.kernel
    postman = Postman(kernel.database, settings_of(kernel), server)  # type: ignore[arg-type]
    entered.clear()
    await work_until(postman.rounds.step, lambda: len(server.taken) == 2)
    await postman.rounds.finish()
    words = {recipient: message.as_string() for message, _, recipient in server.taken}
    for tenant, own, foreign in zip(tenants, ("Anchor", "Bottle"), ("Bottle", "Anchor"), strict=True):
        text = words[f"{tenant.owner_id.hex}@example.com"]
        assert own in text
        assert foreign not in text
        (row,) = await sql.fetch("SELECT state FROM auth.mails WHERE tenant_id = $1", tenant.tenant_id)
        assert row["state"] == "sent"
    assert {context.tenant_id for context in entered} == {PLATFORM_TENANT, *(t.tenant_id for t in tenants)}


@pytest.mark.parametrize("world", ["tenants"], indirect=True)
async def test_each_bill_is_settled_in_its_own_tenant(
    world: World, sql: asyncpg.Connection, entered: list[TenantContext]
) -> None:
    tenants, stripe = await pair(world.harness), ScriptedStripe()
    for tenant in tenants:
        await sign_up(world.harness, tenant)
    due = "UPDATE tenants.subscriptions SET next_attempt_at = CASE WHEN tenant_id = ANY ($1) THEN now() END"
    await sql.execute(due, [tenant.tenant_id for tenant in tenants])
    clerk = Clerk(world.harness.kernel.database, stripe)  # type: ignore[arg-type]
    entered.clear()
    await work_until(clerk.rounds.step, lambda: len(stripe.subscriptions) == 2)
    await clerk.rounds.finish()
    customer_of = {tenant: customer for customer, tenant, _ in stripe.customers}
    statement = "SELECT customer_id FROM tenants.subscriptions WHERE tenant_id = $1"
    for tenant in tenants:
        stored = await sql.fetchval(statement, tenant.tenant_id)
        assert stored == customer_of[to_text(Kind.TENANT, tenant.tenant_id)]
    assert {context.tenant_id for context in entered} == {PLATFORM_TENANT, *(t.tenant_id for t in tenants)}


_TOLD = """
INSERT INTO tenants.stripe_events (tenant_id, event_id, type, customer_id)
VALUES ($1, 'evt_1', 'customer.updated', $2)
"""


async def bill(
    world: World, sql: asyncpg.Connection, stripe: ScriptedStripe
) -> tuple[list[MadeTenant], Clerk]:
    """Two tenants who both are past due at Stripe and not here; nothing is due."""
    tenants = await pair(world.harness)
    clerk = Clerk(world.harness.kernel.database, stripe)  # type: ignore[arg-type]
    for tenant in tenants:
        await sign_up(world.harness, tenant)
        case = await clerk.claim(tenant.tenant_id, at_once=True)
        assert case is not None
        await clerk.attend(case)
    for subscription, _, _ in stripe.subscriptions:
        stripe.change(subscription, status="past_due")
    await sql.execute("UPDATE tenants.subscriptions SET next_attempt_at = NULL")
    return tenants, clerk


@pytest.fixture
async def nobody_else_pays(sql: asyncpg.Connection) -> AsyncIterator[None]:
    """What other tests have left would be compared, too: hundreds of tenants."""
    await sql.execute("CREATE TEMPORARY TABLE aside AS TABLE tenants.subscriptions")
    await sql.execute("DELETE FROM tenants.subscriptions")
    yield
    await sql.execute("INSERT INTO tenants.subscriptions SELECT * FROM aside")


async def statuses(sql: asyncpg.Connection, tenants: list[MadeTenant]) -> list[str]:
    statement = "SELECT status FROM tenants.subscriptions WHERE tenant_id = $1"
    return [await sql.fetchval(statement, tenant.tenant_id) for tenant in tenants]


@pytest.mark.parametrize("world", ["tenants"], indirect=True)
async def test_an_event_of_stripes_has_its_own_tenant_looked_at(
    world: World, sql: asyncpg.Connection, entered: list[TenantContext]
) -> None:
    stripe = ScriptedStripe()
    (mine, theirs), clerk = await bill(world, sql, stripe)
    await sql.execute("DELETE FROM tenants.stripe_events WHERE tenant_id = $1", PLATFORM_TENANT)
    await sql.execute(_TOLD, PLATFORM_TENANT, stripe.customers[0][0])
    entered.clear()
    await Reader(world.harness.kernel.database).read_batch(PLATFORM_TENANT)
    await clerk.rounds.step()
    await clerk.rounds.finish()
    assert {context.tenant_id for context in entered} == {PLATFORM_TENANT, mine.tenant_id}
    assert await statuses(sql, [mine, theirs]) == ["past_due", "trialing"]


@pytest.mark.usefixtures("nobody_else_pays")
@pytest.mark.parametrize("world", ["tenants"], indirect=True)
async def test_billing_is_compared_in_each_tenant(
    world: World, sql: asyncpg.Connection, entered: list[TenantContext]
) -> None:
    stripe = ScriptedStripe()
    tenants, clerk = await bill(world, sql, stripe)
    await sql.execute("DELETE FROM tenants.reconciliations WHERE tenant_id = $1", PLATFORM_TENANT)
    entered.clear()
    report = await Calendar(clerk).reconcile(date(2026, 11, 22))
    assert report is not None
    assert report.counts["failed"] == 0
    assert await statuses(sql, tenants) == ["past_due", "past_due"]
    assert {context.tenant_id for context in entered} >= {PLATFORM_TENANT, *(t.tenant_id for t in tenants)}
    for tenant in tenants:
        told = await sql.fetch(
            "SELECT data FROM tenancy.outbox WHERE tenant_id = $1 AND type LIKE '%.SubscriptionChanged.%'",
            tenant.tenant_id,
        )
        customer = next(c for c, t, _ in stripe.customers if t == to_text(Kind.TENANT, tenant.tenant_id))
        assert len(told) == 2
        assert all(customer in row["data"] for row in told)


@pytest.mark.parametrize("world", ["tenants"], indirect=True)
async def test_an_ordered_comparison_is_of_its_own_tenant(
    world: World, sql: asyncpg.Connection, entered: list[TenantContext]
) -> None:
    stripe = ScriptedStripe()
    (mine, theirs), clerk = await bill(world, sql, stripe)
    context = SystemContext(mine.tenant_id, "platform", "tenants")
    async with world.harness.kernel.database.tenant(context) as session:
        await order(session, dry_run=False)
        await session.commit()
    entered.clear()
    for tenant in (mine, theirs):
        await Comparer(clerk).work_on(tenant.tenant_id)
    assert {context.tenant_id for context in entered} == {mine.tenant_id, theirs.tenant_id}
    assert await statuses(sql, [mine, theirs]) == ["past_due", "trialing"]
    reports = "SELECT tenant_id, report FROM tenants.reconciliations WHERE tenant_id = ANY($1)"
    (row,) = await sql.fetch(reports, [mine.tenant_id, theirs.tenant_id])
    assert row["tenant_id"] == mine.tenant_id
    assert '"mended": 1' in row["report"]
