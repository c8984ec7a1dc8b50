"""Processes killed and dependencies gone while clients work: nothing acknowledged is lost."""

import asyncio
import signal
from collections import Counter
from functools import partial
from typing import Any

import httpx
import pytest

from penguinmails.demo import sign_up
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.faults.saga.client import IDS, Client

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

    async def let_in(path: str) -> bool:
        # Each service is let in again by its own health check, a little after it is ready.
        answer = await platform.get(tenant, path, limit=1)
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200

    async def complete() -> list[dict[str, Any]] | None:
        events = await platform.audit(tenant, action="contact.created")
        seen = {event["target"]["id"] for event in events}
        return events if set(load.acknowledged) <= seen else None

    for path in ("/audit/events", "/contacts"):
        await eventually(partial(let_in, path))
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
        patient = [
            asyncio.create_task(platform.sign_up("As Patient Ltd")),
            asyncio.create_task(asyncio.to_thread(sign_up, stack.env()["gateway"], "Penguins")),
        ]
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
    await asyncio.gather(*patient)
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


async def test_a_sign_up_while_a_service_is_away_is_202_and_then_the_same_201(
    stack: Stack, platform: Platform, tenant: Tenant
) -> None:
    """`workspaces` stands still for ten seconds: each answer comes when its patience of five is over."""
    client = Client(platform, "patient")
    stack.kill("workspaces", signal.SIGSTOP)
    try:
        asked = [await client.ask(), await client.ask()]
    finally:
        stack.kill("workspaces", signal.SIGCONT)
    answers = [answer for answer in asked if answer is not None]
    assert [answer.status_code for answer in answers] == [202, 202], [answer.text for answer in answers]
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert sum(answer.elapsed.total_seconds() for answer in answers) >= 9.5
    owner = await client.sign_up()
    await client.sign_up_again(owner)
    state = (await platform.http.get(answers[0].headers["Location"])).json()
    assert [state[name] for name in IDS] == [getattr(owner, name) for name in IDS]
    steps = {step["name"]: step for step in state["steps"]}
    assert steps["default_workspace"]["status"] == "done"


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
