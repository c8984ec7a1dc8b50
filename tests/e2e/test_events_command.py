"""`penguinmails events …` on the running stack: operators see and mend, while everything goes on."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from common import clock
from common.bus import lag
from common.contracts.envelope import Envelope
from common.contracts.tenants import DefaultWorkspace, Owner, TenantProvisioned
from common.ids import Kind, new_id, parse, to_text
from common.settings import ServiceSettings
from common.testing.harness import FEATURES, LIMITS
from penguinmails.credentials import SERVICES
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.projections import Databases, books, empty
from tests.e2e.test_command import run


async def answers(stack: Stack, *words: str) -> list[dict[str, Any]]:
    """What a command with `--json` prints."""
    status, output = await run(stack, "events", *words, "--json")
    assert status == 0, output
    found: list[dict[str, Any]] = json.loads(output)
    return found


async def said(stack: Stack, *words: str) -> str:
    status, output = await run(stack, "events", *words)
    assert status == 0, output
    return output


def settings_of(stack: Stack, service: str) -> ServiceSettings:
    environment = stack.config.service_environment(service)
    return ServiceSettings.model_validate({name.lower(): value for name, value in environment.items()})


async def until_caught_up(stack: Stack) -> None:
    """Until nothing waits in an outbox or before a consumer."""

    async def idle() -> bool:
        lags = [await lag.measure(service, settings_of(stack, service)) for service in SERVICES]
        behind = sum(consumer["records"] for service in lags for consumer in service["consumers"])
        return behind == 0 and not any(service["outbox"]["rows"] for service in lags)

    await eventually(idle, within=60)


async def test_lag_shows_every_consumer(stack: Stack, tenant: Tenant) -> None:
    await until_caught_up(stack)
    lags = {service["service"]: service for service in await answers(stack, "lag")}
    assert set(lags) == set(SERVICES)
    consumers = {consumer["consumer"] for service in lags.values() for consumer in service["consumers"]}
    assert consumers >= {*SERVICES, "audit-ingest"}
    assert lags["auth"]["outbox"]["parked"] == 0
    table = await said(stack, "lag", "--service", "auth")
    assert "auth" in table
    assert "tenants" not in table


async def publish_again(environment: dict[str, Any], tenant: Tenant) -> str:
    """Provision the tenant a second time under another event id, which `workspaces` cannot handle; the id."""
    workspace = parse(Kind.WORKSPACE, tenant.default_workspace_id)
    event = TenantProvisioned(
        tenant_id=parse(Kind.TENANT, tenant.tenant_id),
        version=1,
        company_name=tenant.company_name,
        plan="starter",
        limits=LIMITS,
        features=FEATURES,
        owner=Owner(user_id=parse(Kind.USER, tenant.owner_user_id), email=tenant.owner_email, name="Olga"),
        default_workspace=DefaultWorkspace(workspace_id=workspace, name="Default", slug="default"),
    )
    envelope = Envelope(
        event_id=new_id(),
        source="tenants",
        type=event.ce_type(),
        time=clock.now(),
        subject=event.subject,
        tenant_id=event.tenant_id,
        sequence=1,
        data=event.model_dump_json().encode(),
    )
    producer = AIOKafkaProducer(bootstrap_servers=environment["kafka"])
    await producer.start()
    try:
        await producer.send_and_wait(event.TOPIC, envelope.data, key=envelope.key, headers=envelope.headers())
    finally:
        await producer.stop()
    return to_text(Kind.EVENT, envelope.event_id)


async def test_a_dead_letter_is_listed_shown_retried_and_dropped(
    stack: Stack, platform: Platform, environment: dict[str, Any], tenant: Tenant, databases: Databases
) -> None:
    event = await publish_again(environment, tenant)

    async def there_are(count: int) -> bool:
        statement = "SELECT count(*) FROM tenancy.dead_letters WHERE tenant_id = $1"
        tenant_id = parse(Kind.TENANT, tenant.tenant_id)
        return await databases["workspaces"].fetchval(statement, tenant_id) == count

    async def letters() -> list[dict[str, Any]]:
        found = await answers(stack, "dlq", "list", "--service", "workspaces")
        return [letter for letter in found if letter["tenant_id"] == tenant.tenant_id]

    await eventually(lambda: there_are(1), within=30)
    (letter,) = await letters()
    assert (letter["event_id"], letter["reason"], letter["holds"]) == (event, "IntegrityError", True)
    settings = f"/api/v1/tenants/{tenant.tenant_id}/settings"
    before = await platform.http.get(settings, headers=tenant.headers)
    headers = {
        **tenant.headers,
        "If-Match": before.headers["ETag"],
        "Content-Type": "application/merge-patch+json",
    }
    renamed = await platform.http.patch(settings, headers=headers, json={"company_name": "Renamed Ltd"})
    assert renamed.status_code == 200, renamed.text
    await eventually(lambda: there_are(2), within=30)
    assert len(await letters()) == 2
    shown = await said(stack, "dlq", "show", event, "--service", "workspaces")
    assert tenant.company_name in shown
    looked = await platform.audited(tenant, action="access.recorded", target=event)
    assert looked["actor"]["type"] == "operator"
    status, output = await run(stack, "events", "dlq", "retry", event, "--service", "workspaces")
    assert (status, "failed" in output) == (1, True), output
    words = ("--reason", "sent twice", "--service", "workspaces")
    dropped = await said(stack, "dlq", "drop", event, *words)
    assert "dropped" in dropped
    assert "1 followed" in dropped
    assert await letters() == []
    audited = await platform.audited(tenant, action="dead_letter.dropped")
    assert (audited["actor"]["type"], audited["target"]["id"]) == ("operator", event)
    assert await platform.audit(tenant, action="dead_letter.retried")
    status, output = await run(stack, "events", "dlq", "drop", event, "--reason", "again")
    assert (status, "No dead letter" in output) == (1, True), output


async def replay(stack: Stack, *services: str) -> None:
    await said(stack, "replay", *services, "--all")


async def test_a_dry_run_counts_and_changes_nothing(
    stack: Stack, tenant: Tenant, databases: Databases
) -> None:
    tenant_id = parse(Kind.TENANT, tenant.tenant_id)
    await until_caught_up(stack)
    await empty(databases, tenant_id)
    counted = json.loads(await said(stack, "replay", "audit", "--consumer", "audit", "--all", "--dry-run"))
    assert counted["records"]["known"] > 0
    assert counted["records"].get("handled", 0) == 0
    words = ("snapshot", "workspaces", "--tenant", tenant.tenant_id, "--dry-run")
    counted = json.loads(await said(stack, *words))
    assert counted["events"] == 2, "the default workspace and its admin"
    await until_caught_up(stack)
    assert not any((await books(databases, tenant_id)).values())


async def test_a_replay_while_events_flow_doubles_nothing(
    stack: Stack, platform: Platform, tenant: Tenant, databases: Databases
) -> None:
    tenant_id = parse(Kind.TENANT, tenant.tenant_id)

    async def work() -> None:
        for number in range(15):
            made = await platform.make(tenant, "/contacts", **contact(tenant, number))
            assert made["contact_id"]

    await asyncio.gather(work(), replay(stack, "auth", "workspaces", "audit"))
    await until_caught_up(stack)
    created = await platform.audit(tenant, action="contact.created")
    assert len(created) == len({event["target"]["id"] for event in created}) == 15
    statement = "SELECT count(*) FROM workspaces.workspaces WHERE tenant_id = $1"
    assert await databases["workspaces"].fetchval(statement, tenant_id) == 1
    statement = "SELECT count(*) FROM auth.mails WHERE tenant_id = $1 AND kind = 'welcome'"
    assert await databases["auth"].fetchval(statement, tenant_id) == 1
    letters = await answers(stack, "dlq", "list", "--service", "workspaces")
    assert not [letter for letter in letters if letter["tenant_id"] == tenant.tenant_id]


async def test_history_published_again_is_handled_by_nobody_twice(
    stack: Stack, platform: Platform, tenant: Tenant, databases: Databases
) -> None:
    tenant_id = parse(Kind.TENANT, tenant.tenant_id)
    await until_caught_up(stack)
    before, created = (
        await books(databases, tenant_id),
        await platform.audit(tenant, action="workspace.created"),
    )
    counted = json.loads(await said(stack, "replay", "workspaces", "--publish", "--all", "--dry-run"))
    told = json.loads(await said(stack, "replay", "workspaces", "--publish", "--all"))
    assert told["events"] >= counted["events"] > 0
    await until_caught_up(stack)
    assert await books(databases, tenant_id) == before
    assert await platform.audit(tenant, action="workspace.created") == created


async def test_what_never_left_and_what_never_arrived_can_be_asked_for(stack: Stack) -> None:
    assert await answers(stack, "parked", "list") == []
    status, output = await run(stack, "events", "parked", "show", "tenants", to_text(Kind.EVENT, new_id()))
    assert (status, "No such event" in output) == (1, True)
    await said(stack, "gaps", "list")
    words = ("gaps", "close", str(new_id()), "--reason", "none", "--yes")
    status, output = await run(stack, "events", *words)
    assert (status, "no such open gap" in output) == (1, True), output


def contact(tenant: Tenant, number: int) -> dict[str, str]:
    return {"workspace_id": tenant.default_workspace_id, "email": f"c{number}-{uuid4().hex}@example.com"}
