"""`penguinmails provisioning …` on the running stack: a sign-up that missed an event."""

from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from common.ids import Kind, new_id, parse, to_text
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.test_command import run

_FORGET = (
    "UPDATE tenants.provisioning_steps SET status = 'running' "
    "WHERE tenant_id = $1 AND name = 'default_workspace'",
    "UPDATE tenants.provisionings SET finished_at = NULL WHERE tenant_id = $1",
    "DELETE FROM tenancy.inbox WHERE tenant_id = $1",
)


async def until_finished(platform: Platform, tenant: Tenant) -> None:
    """Until every step of the sign-up is done."""

    async def finished() -> bool:
        answer = await platform.get(tenant, f"/tenants/{tenant.tenant_id}/provisioning")
        return answer.json()["status"] == "done"

    await eventually(finished, within=60, every=0.3)


async def test_a_sign_up_that_missed_an_event_is_resumed_by_reading_it_again(
    stack: Stack, platform: Platform, environment: dict[str, Any], tenant: Tenant
) -> None:
    await until_finished(platform, tenant)
    url = make_url(environment["postgres"]["superuser"]).set(database="tenants")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        for statement in _FORGET:
            await connection.execute(statement, parse(Kind.TENANT, tenant.tenant_id))
    finally:
        await connection.close()
    status, shown = await run(stack, "provisioning", "show", tenant.tenant_id)
    assert (status, "workspaces has not answered" in shown) == (0, True), shown
    status, resumed = await run(stack, "provisioning", "resume", tenant.tenant_id)
    assert (status, "Resumed: default_workspace." in resumed) == (0, True), resumed
    await until_finished(platform, tenant)
    audited = await platform.audited(tenant, action="tenant.provisioning_resumed")
    assert audited["actor"]["type"] == "operator"
    unknown = to_text(Kind.TENANT, new_id())
    for words in (
        ("provisioning", "show"),
        ("provisioning", "resume"),
        ("deletion", "show"),
        ("tenants", "show"),
        ("events", "snapshot", "workspaces", "--tenant"),
    ):
        assert (await run(stack, *words, unknown))[0] == 1, words
