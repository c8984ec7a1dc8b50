"""Campaigns of a tenant that is suspended, or on its way out, stop; those of others go on."""

import asyncpg
import pytest
from services.campaigns.tests.conftest import Events

from common.clock import now
from common.contracts.envelope import Event
from common.contracts.tenants import TenantDeletionScheduled, TenantReactivated, TenantSuspended
from common.ids import Kind, parse, to_text
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness, MadeTenant

STATES = {"draft": "draft", "scheduled": "paused", "sending": "paused", "paused": "paused", "sent": "sent"}


async def make_campaigns(service: Harness, tenant: MadeTenant, sql: asyncpg.Connection) -> dict[str, str]:
    """One campaign in each state: id by state."""
    made: dict[str, str] = {}
    for state in STATES:
        body = {"workspace_id": to_text(Kind.WORKSPACE, tenant.workspace_id), "name": state}
        answer = await service.client.post("/api/v1/campaigns", headers=tenant.headers, json=body)
        made[state] = answer.json()["campaign_id"]
        statement = "UPDATE campaigns.campaigns SET status = $2 WHERE campaign_id = $1"
        await sql.execute(statement, parse(Kind.CAMPAIGN, made[state]), state)
    return made


async def states(service: Harness, tenant: MadeTenant, made: dict[str, str]) -> dict[str, str]:
    answer = await service.client.get("/api/v1/campaigns", headers=tenant.headers)
    found = {row["campaign_id"]: row["status"] for row in answer.json()["data"]}
    return {state: found[campaign_id] for state, campaign_id in made.items()}


@pytest.mark.parametrize(
    ("cls", "why"),
    [(TenantSuspended, "tenant_suspended"), (TenantDeletionScheduled, "tenant_deletion_scheduled")],
)
async def test_what_runs_is_paused(
    service: Harness, service_database: object, events: Events, cls: type[Event], why: str
) -> None:
    database: ServiceDatabase = await service_database("campaigns")  # type: ignore[operator]
    sql = await asyncpg.connect(database.superuser_url)
    try:
        ours, theirs = await service.make_tenant("Ours"), await service.make_tenant("Theirs")
        campaigns = [await make_campaigns(service, tenant, sql) for tenant in (ours, theirs)]
    finally:
        await sql.close()
    details = {"reason": "unpaid"} if cls is TenantSuspended else {"erase_at": now()}
    event = cls.model_validate({"tenant_id": ours.tenant_id, "version": 2, **details})
    for _ in range(2):
        await service.handle(ours.tenant_id, event)
    assert await states(service, ours, campaigns[0]) == STATES
    assert await states(service, theirs, campaigns[1]) == {state: state for state in STATES}
    told = await events(ours.tenant_id, "CampaignPaused")
    assert {one["campaign_id"] for one in told} == {campaigns[0]["scheduled"], campaigns[0]["sending"]}
    assert [one["reason"] for one in told] == [why, why]
    assert await events(theirs.tenant_id, "CampaignPaused") == []


async def test_a_suspension_that_comes_again_when_it_is_over_stops_nothing(
    service: Harness, service_database: object
) -> None:
    """History is published again, and the inbox does not keep for ever what was handled."""
    database: ServiceDatabase = await service_database("campaigns")  # type: ignore[operator]
    sql = await asyncpg.connect(database.superuser_url)
    try:
        tenant = await service.make_tenant()
        await service.handle(
            tenant.tenant_id, TenantSuspended(tenant_id=tenant.tenant_id, version=2, reason="unpaid")
        )
        await service.handle(tenant.tenant_id, TenantReactivated(tenant_id=tenant.tenant_id, version=3))
        made = await make_campaigns(service, tenant, sql)
    finally:
        await sql.close()
    await service.handle(
        tenant.tenant_id, TenantSuspended(tenant_id=tenant.tenant_id, version=2, reason="unpaid")
    )
    assert await states(service, tenant, made) == {state: state for state in STATES}
