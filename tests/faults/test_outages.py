"""Processes killed and dependencies gone while clients work: nothing acknowledged is lost."""

import asyncio
import signal
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.e2e.surroundings import customers_of, mails_to

SERVICES = ("auth", "tenants", "workspaces", "campaigns", "audit")


class Load:
    """A client that keeps creating contacts and remembers what was acknowledged."""

    def __init__(self, platform: Platform, tenant: Tenant) -> None:
        self._platform, self._tenant = platform, tenant
        self.acknowledged: list[str] = []
        self.refused: Counter[int] = Counter()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            body = {
                "workspace_id": self._tenant.default_workspace_id,
                "email": f"c{number}-{id(self)}@example.com",
            }
            try:
                answer = await self._platform.post(self._tenant, "/contacts", body)
            except httpx.HTTPError:
                self.refused[0] += 1
                continue
            if answer.status_code == 201:
                self.acknowledged.append(answer.json()["contact_id"])
            else:
                self.refused[answer.status_code] += 1
                assert answer.status_code in (502, 503, 504), answer.text
                await asyncio.sleep(0.05)

    async def __aenter__(self) -> "Load":
        self._task = asyncio.create_task(self.run())
        await eventually(self._some)
        return self

    async def _some(self) -> bool:
        if self._task.done():
            self._task.result()
        return len(self.acknowledged) >= 10

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task

    async def more(self) -> None:
        """Wait until further requests were acknowledged."""
        before = len(self.acknowledged)

        async def grown() -> bool:
            return len(self.acknowledged) >= before + 10

        await eventually(grown, within=60)


async def assert_all_audited_once(platform: Platform, load: Load, tenant: Tenant, within: float = 30) -> None:
    """Each acknowledged creation is in the audit log, exactly once."""

    async def audit_answers() -> bool:
        # After an outage of the database each service is let in again by its own health check.
        answer = await platform.get(tenant, "/audit/events", limit=1)
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200

    async def complete() -> list[dict[str, Any]] | None:
        events = await platform.audit(tenant, action="contact.created")
        seen = {event["target"]["id"] for event in events}
        return events if set(load.acknowledged) <= seen else None

    await eventually(audit_answers)
    events = await eventually(complete, within=within, every=0.5)
    counts = Counter(event["target"]["id"] for event in events)
    assert not [target for target, count in counts.items() if count > 1], "audited twice"
    listed = await all_contacts(platform, tenant)
    assert set(load.acknowledged) <= listed, "an acknowledged contact is gone"


async def all_contacts(platform: Platform, tenant: Tenant) -> set[str]:
    """Ids of all contacts of the tenant."""
    found: set[str] = set()
    cursor: str | None = None
    while True:
        params = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        answer = await platform.get(tenant, "/contacts", **params)
        assert answer.status_code == 200, answer.text
        found |= {row["contact_id"] for row in answer.json()["data"]}
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("victim", [*SERVICES, "kafka", "postgres", "envoy", "mail", "stripe", "collector"])
async def test_killing_a_process_under_load_loses_nothing(
    stack: Stack, platform: Platform, tenant: Tenant, victim: str
) -> None:
    async with Load(platform, tenant) as load:
        old = stack.kill(victim)
        await asyncio.to_thread(stack.wait_ready, victim, old)
        await load.more()
    await assert_all_audited_once(platform, load, tenant)


async def test_broker_away_requests_go_on_and_are_audited_afterwards(
    stack: Stack, platform: Platform, tenant: Tenant
) -> None:
    stack.kill("kafka", signal.SIGSTOP)
    try:
        async with Load(platform, tenant) as load:
            await load.more()
        assert not load.refused, "the outbox holds the events; no request needs the broker"
        body = {
            "company_name": "Patient Ltd",
            "owner_email": "p@patient.example.com",
            "owner_name": "Pat",
            "plan": "starter",
        }
        answer = await platform.http.post("/api/v1/tenants", json=body, timeout=30)
        assert answer.status_code == 202, answer.text
        status_url = answer.headers["Location"]
        assert answer.headers["Retry-After"]
    finally:
        stack.kill("kafka", signal.SIGCONT)

    async def provisioned() -> bool:
        state = await platform.http.get(status_url)
        assert state.status_code == 200, state.text
        return state.json()["status"] == "done"

    await eventually(provisioned, within=40, every=0.3)
    await assert_all_audited_once(platform, load, tenant)


async def test_database_away_is_503_with_retry_after(
    stack: Stack, platform: Platform, tenant: Tenant
) -> None:
    old = stack.kill("postgres")

    async def unavailable() -> httpx.Response | None:
        answer = await platform.get(tenant, "/contacts")
        return answer if answer.status_code == 503 else None

    try:
        refused = await eventually(unavailable, every=0.001)
        assert refused.headers["Retry-After"]
        assert refused.json()["code"] in ("unavailable", "upstream_unavailable")
    finally:
        await asyncio.to_thread(stack.wait_ready, "postgres", old)

    async def back() -> bool:
        return (await platform.get(tenant, "/contacts")).status_code == 200

    await eventually(back, within=30)


@pytest.mark.parametrize("victim", ["tenants", "auth", "workspaces", "kafka", "stripe", "mail"])
async def test_killed_in_the_middle_of_sign_ups_there_is_one_of_each(
    stack: Stack, platform: Platform, tenant: Tenant, environment: dict[str, Any], victim: str
) -> None:
    """Clients repeat with their key until they have their 201; the victim dies meanwhile."""
    tasks = [asyncio.create_task(sign_up_until_done(platform, number, victim)) for number in range(4)]
    await asyncio.sleep(0.15)
    old = stack.kill(victim)
    await asyncio.to_thread(stack.wait_ready, victim, old)
    made = await asyncio.gather(*tasks)
    assert len({body["tenant_id"] for body, _ in made}) == 4
    for body, address in made:
        ids = (body["tenant_id"], body["owner_user_id"], body["default_workspace_id"])
        owner = Tenant(*ids, token=body["access_token"], company_name="Stubborn", owner_email=address)
        await assert_one_of_each(platform, owner, environment)


async def sign_up_until_done(platform: Platform, number: int, victim: str) -> tuple[dict[str, Any], str]:
    """The 201 of a sign-up, however often it takes, and the owner's address."""
    address = f"owner-{uuid4().hex}@{victim}{number}.example.com"
    body = {"company_name": "Stubborn", "owner_email": address, "owner_name": "Sto", "plan": "starter"}
    headers = {"Idempotency-Key": str(uuid4())}

    async def done() -> dict[str, Any] | None:
        try:
            answer = await platform.http.post("/api/v1/tenants", json=body, headers=headers)
        except httpx.HTTPError:
            return None
        assert answer.status_code in (201, 202, 503, 504), answer.text
        return answer.json() if answer.status_code == 201 else None

    return await eventually(done, within=60, every=0.3), address


async def assert_one_of_each(platform: Platform, owner: Tenant, environment: dict[str, Any]) -> None:
    """One workspace, one customer, one mail, and a finished saga."""

    async def finished() -> bool:
        answer = await platform.get(owner, f"/tenants/{owner.tenant_id}/provisioning")
        return answer.status_code == 200 and answer.json()["status"] == "done"

    await eventually(finished, within=60, every=0.3)
    workspaces = (await platform.get(owner, "/workspaces")).json()["data"]
    assert [row["workspace_id"] for row in workspaces] == [owner.default_workspace_id]
    mails = mails_to(Path(environment["mail_dir"]), owner.owner_email)
    assert len({mail["Message-ID"] for mail in mails}) == 1
    assert len(await customers_of(environment, owner.owner_email)) == 1


async def test_the_rate_limit_holds_while_its_store_is_away_and_after(
    stack: Stack, platform: Platform, tenant: Tenant
) -> None:
    """Requests are counted, and none is refused that the store would have let pass."""
    asked = [await platform.get(tenant, "/workspaces") for _ in range(3)]
    killed = stack.kill("valkey")
    asked += [await platform.get(tenant, "/workspaces") for _ in range(10)]
    stack.wait_ready("valkey", other_than=killed)
    asked.append(await platform.get(tenant, "/workspaces"))
    assert {answer.status_code for answer in asked} == {200}
    assert {answer.headers["RateLimit-Policy"] for answer in asked} == {'"tenant";q=12000;w=60'}
