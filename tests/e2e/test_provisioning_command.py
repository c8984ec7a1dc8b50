"""`penguinmails provisioning …` on the running stack: sign-ups that wait for Stripe, or missed an event."""

import asyncio
import json
import signal
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from common.ids import Kind, parse
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.surroundings import customers_of
from tests.e2e.test_command import run

_FORGET = (
    "UPDATE tenants.provisioning_steps SET status = 'running' "
    "WHERE tenant_id = $1 AND name = 'default_workspace'",
    "UPDATE tenants.provisionings SET finished_at = NULL WHERE tenant_id = $1",
    "DELETE FROM tenancy.inbox WHERE tenant_id = $1",
)


async def test_an_unfinished_sign_up_is_listed_explained_and_resumed(
    stack: Stack, platform: Platform, environment: dict[str, Any]
) -> None:
    stack.kill("stripe", signal.SIGSTOP)
    try:
        tenant = await platform.sign_up("Waiting Ltd")
        (status, listed), (_, shown) = await asyncio.gather(
            run(stack, "provisioning", "list", "--json"),
            run(stack, "provisioning", "show", tenant.tenant_id, "--json"),
        )
        assert status == 0, listed
        assert tenant.tenant_id in {sign_up["tenant_id"] for sign_up in json.loads(listed)}
        sign_up = json.loads(shown)
        assert (sign_up["dead_letters"], sign_up["status"]) == ([], "running")
        (billing,) = [step for step in sign_up["steps"] if step["name"] == "billing"]
        assert billing["explanation"]
        status, resumed = await run(stack, "provisioning", "resume", tenant.tenant_id)
        assert (status, "billing" in resumed) == (0, True), resumed
    finally:
        stack.kill("stripe", signal.SIGCONT)

    await until_finished(platform, tenant)
    assert len(await customers_of(environment, tenant.owner_email)) == 1
    audited = await platform.audited(tenant, action="tenant.provisioning_resumed")
    assert audited["actor"]["type"] == "operator"


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
