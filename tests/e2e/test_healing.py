"""Projections heal: emptied, they become again what they were, byte by byte."""

from datetime import date
from typing import Any
from uuid import uuid4

from common.ids import Kind, parse
from penguinmails.credentials import SERVICES
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant
from tests.e2e.projections import (
    HANDLED_ONCE,
    NO_PROJECTIONS,
    TOLD_ONCE,
    Databases,
    books,
    empty,
    facts,
    projections,
    tables,
)
from tests.e2e.test_events_command import replay, said, until_caught_up
from tests.e2e.test_people import PASSWORD, Person, link_in_mail

TELLING = ("campaigns", "workspaces", "auth", "tenants")
"""Services with a snapshot and a history, in the opposite of the order in which a tenant comes about."""
_SENDS = "INSERT INTO campaigns.monthly_sends (tenant_id, month, reserved) VALUES ($1, $2, 7)"


async def live_a_little(platform: Platform, tenant: Tenant, environment: dict[str, Any]) -> None:
    """Something in every column of every projection: people, roles, sessions and workspaces come and go."""
    kept = await platform.make(tenant, "/workspaces", name="Kept")
    gone = await platform.make(tenant, "/workspaces", name="Gone")
    offers = [{"workspace_id": kept["workspace_id"], "role": "viewer"}]
    email = f"ivan-{uuid4().hex}@example.com"
    await platform.make(tenant, "/invitations", email=email, role="member", workspaces=offers)
    wish = {"token": await link_in_mail(environment, email), "name": "Ivan", "password": PASSWORD}
    accepted = await platform.http.post("/api/v1/invitations/accept", json=wish)
    ivan = Person(platform, tenant, email, accepted.json())
    entered = (await ivan.log_in()).json()
    bearer = {"Authorization": f"Bearer {entered['access_token']}"}
    assert (await platform.http.post("/api/v1/auth/logout", headers=bearer)).status_code < 300
    for body in ({"role": "admin"}, {"name": "I."}):
        path = f"/api/v1/users/{ivan.user_id}"
        changed = await platform.http.patch(path, headers=tenant.headers, json=body)
        assert changed.status_code == 200, changed.text
    spring = await platform.make(tenant, "/campaigns", workspace_id=kept["workspace_id"], name="Spring")
    ends = {"campaigns": spring["campaign_id"], "workspaces": gone["workspace_id"], "users": ivan.user_id}
    for path in (f"{kind}/{resource}" for kind, resource in ends.items()):
        ended = await platform.http.delete(f"/api/v1/{path}", headers=tenant.headers)
        assert ended.status_code < 300, ended.text


async def snapshot(stack: Stack, tenant: Tenant) -> None:
    await said(stack, "snapshot", *TELLING, "--tenant", tenant.tenant_id)
    await until_caught_up(stack)


async def publish_again(stack: Stack) -> None:
    for service in TELLING:
        await said(stack, "replay", service, "--publish", "--all")
        await until_caught_up(stack)


async def test_every_table_is_a_projection_or_declared_to_be_something_else(databases: Databases) -> None:
    there = {table for _, table in await tables(databases)}
    assert set(NO_PROJECTIONS) <= there, "declared, and not there"
    assert {table for _, table in await projections(databases)} >= TOLD_ONCE | HANDLED_ONCE
    assert all(NO_PROJECTIONS.values())


async def test_emptied_projections_heal_byte_by_byte(
    stack: Stack,
    platform: Platform,
    tenant: Tenant,
    environment: dict[str, Any],
    databases: Databases,
) -> None:
    tenant_id = parse(Kind.TENANT, tenant.tenant_id)
    await live_a_little(platform, tenant, environment)
    await databases["campaigns"].execute(_SENDS, tenant_id, date(2026, 11, 1))
    await said(stack, "snapshot", "campaigns", "--tenant", tenant.tenant_id)
    await until_caught_up(stack)
    lived = await books(databases, tenant_id)
    assert all(lived.values()), f"no test fills {[place for place, rows in lived.items() if not rows]}"
    actions = len(await platform.audit(tenant, action="user.registered"))
    await snapshot(stack, tenant)
    told = await books(databases, tenant_id)
    assert facts(told) == facts(lived), "the snapshot tells nothing new"
    await empty(databases, tenant_id, spare=HANDLED_ONCE)
    await replay(stack, *SERVICES)
    await publish_again(stack)
    assert await books(databases, tenant_id) == told, "replay, and history published again"
    await empty(databases, tenant_id, spare=TOLD_ONCE)
    await snapshot(stack, tenant)
    assert await books(databases, tenant_id) == told, "a snapshot alone, for projections older than the log"
    assert len(await platform.audit(tenant, action="user.registered")) == actions
