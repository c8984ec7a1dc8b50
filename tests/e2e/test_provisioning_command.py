"""`penguinmails provisioning …` on the running stack: a sign-up that waits for Stripe."""

import asyncio
import json
import signal
from typing import Any

from penguinmails.stack import Stack
from tests.e2e.client import Platform, eventually
from tests.e2e.surroundings import customers_of
from tests.e2e.test_command import run


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

    async def finished() -> bool:
        answer = await platform.get(tenant, f"/tenants/{tenant.tenant_id}/provisioning")
        return answer.json()["status"] == "done"

    await eventually(finished, within=60, every=0.3)
    assert len(await customers_of(environment, tenant.owner_email)) == 1
    audited = await platform.audited(tenant, action="tenant.provisioning_resumed")
    assert audited["actor"]["type"] == "operator"
    status, shown = await run(stack, "provisioning", "show", tenant.tenant_id)
    assert (status, "welcome_mail" in shown) == (0, True), shown
