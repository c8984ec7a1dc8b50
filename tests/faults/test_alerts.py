"""Alerts fire when their fault is there: Prometheus itself reads the stack's metrics and evaluates the rules.

Only the times are others: everything is looked at every second, and nothing has to last (`for`).
"""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import yaml
from aiokafka import AIOKafkaProducer

from common.bus.handling import UNREADABLE
from penguinmails import ports
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.programs import needs

RULES = Path(__file__).parents[2] / "deploy/observability/prometheus/rules"
PROMETHEUS = shutil.which("prometheus")
SERVICES = ("auth", "tenants", "workspaces", "campaigns", "audit")
RELAYS_LOCK = 0x72656C61
LOCKS = """
FROM pg_locks WHERE locktype = 'advisory' AND objid = $1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

pytestmark = needs("prometheus", PROMETHEUS, "on Debian `apt install prometheus`")

Alerts = set[tuple[str, str]]
"""Name and service (without its namespace) of each alert that fires."""


class Watch:
    """A Prometheus that reads the stack."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def firing(self) -> Alerts:
        async with httpx.AsyncClient(base_url=self.url) as http:
            alerts = (await http.get("/api/v1/alerts")).json()["data"]["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"].get("job", "").rpartition("/")[2])
            for alert in alerts
            if alert["state"] == "firing"
        }

    async def until(self, *names: tuple[str, str]) -> None:
        """Until all of them fire."""

        async def fire() -> bool:
            return set(names) <= await self.firing()

        await eventually(fire, within=30, every=0.25)

    async def until_quiet(self, *names: tuple[str, str]) -> None:
        async def quiet() -> bool:
            return not set(names) & await self.firing()

        await eventually(quiet, within=40, every=0.25)


@pytest.fixture(scope="module")
def watch(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Prometheus on the stack, once it has read it twice."""
    folder, port = tmp_path_factory.mktemp("prometheus"), ports.random_free(set())
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(_config(folder, stack.env()["metrics"])))
    command = [str(PROMETHEUS), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    log = (folder / "log").open("wb")
    with (
        log,
        subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        ) as process,
    ):
        yield Watch(f"http://127.0.0.1:{port}")
        process.terminate()


def _config(folder: Path, metrics: str) -> dict[str, Any]:
    for path in RULES.glob("*.yml"):
        rules = yaml.safe_load(path.read_text())
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            rule["for"] = "0s"
        (folder / path.name.replace(".yml", ".rules.yml")).write_text(yaml.safe_dump(rules))
    url = httpx.URL(metrics)
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["*.rules.yml"],
        "scrape_configs": [
            {
                "job_name": "otel-collector",
                "honor_labels": True,
                "static_configs": [{"targets": [f"{url.host}:{url.port}"]}],
            }
        ],
    }


@pytest.fixture
async def watching(watch: Watch) -> Watch:
    """It has answered, so it knows how things were before the fault."""

    async def answers() -> bool:
        try:
            async with httpx.AsyncClient(base_url=watch.url) as http:
                query = 'count(count_over_time(process_uptime_seconds{job=~"penguinmails/.*"}[1m]) > 1)'
                answer = await http.get("/api/v1/query", params={"query": query})
                answer.raise_for_status()  # 503 until it has read its log
        except httpx.HTTPError:
            return False
        found = answer.json()["data"]["result"]
        return bool(found) and found[0]["value"][1] == str(len(SERVICES))

    await eventually(answers, within=20, every=0.25)
    return watch


async def test_a_burst_of_cross_tenant_attempts(
    watching: Watch, platform: Platform, tenant: Tenant, stack: Stack
) -> None:
    other = await platform.sign_up("Bystander Ltd")
    assert ("CrossTenantBurst", "audit") not in await watching.firing()
    for _ in range(30):
        answer = await platform.get(tenant, f"/tenants/{other.tenant_id}/settings")
        assert answer.status_code == 403
    await watching.until(("CrossTenantBurst", "audit"))
    assert ("IsolationBreach", "audit") not in await watching.firing()


async def test_dead_letters(watching: Watch, stack: Stack, kafka: str) -> None:
    """What is no event dies at every consumer, and does not become part of the audit log."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        await producer.send_and_wait("penguinmails.workspaces", b"no event", key=b"nobody")
        await watching.until(("DeadLetters", "campaigns"), ("AuditQuarantine", "audit"))
    finally:
        await producer.stop()
        await _forget_the_unreadable(stack)
    await watching.until_quiet(("DeadLetters", "campaigns"))


async def test_a_relay_that_stands_still(
    watching: Watch, platform: Platform, tenant: Tenant, stack: Stack
) -> None:
    """Somebody else holds its lock: everything else works, and events wait."""
    expected = (("RelayInactive", "workspaces"), ("OutboxNotDraining", "workspaces"))
    async with _lock_held(stack, "workspaces") as connection:
        await platform.make(tenant, "/workspaces", name="Waiting")
        # The rule waits for half a minute: let it have waited.
        await connection.execute(
            "UPDATE tenancy.outbox SET occurred_at = occurred_at - interval '40 seconds'"
        )
        await watching.until(*expected)
        await connection.execute(
            "UPDATE tenancy.outbox SET occurred_at = occurred_at + interval '40 seconds'"
        )
    await watching.until_quiet(*expected)


async def test_a_service_that_the_gateway_cannot_reach(
    watching: Watch, platform: Platform, tenant: Tenant, stack: Stack
) -> None:
    stack.kill("campaigns", signal.SIGSTOP)
    try:
        await watching.until(("ServiceUnreachable", ""))
        assert (await platform.get(tenant, "/campaigns")).status_code == 503
        assert not {("GatewayDown", "gateway"), ("ServiceDown", "audit")} & await watching.firing()
    finally:
        stack.kill("campaigns", signal.SIGCONT)
    await watching.until_quiet(("ServiceUnreachable", ""))


async def test_a_broker_that_is_away(watching: Watch, stack: Stack) -> None:
    expected = [(alert, name) for alert in ("RelayInactive", "ConsumerIdle") for name in SERVICES]
    stack.kill("kafka", signal.SIGSTOP)
    try:
        await watching.until(*expected)
    finally:
        stack.kill("kafka", signal.SIGCONT)
    await watching.until_quiet(*expected)


@asynccontextmanager
async def _lock_held(stack: Stack, service: str) -> AsyncIterator[asyncpg.Connection]:
    """Ours is the relay's lock of the service: we stand in line, and end who has it."""
    base = stack.env()["postgres"]["superuser"].rpartition("/")[0]
    connection, other = await asyncpg.connect(f"{base}/{service}"), await asyncpg.connect(f"{base}/{service}")
    try:
        waiting = asyncio.create_task(connection.execute("SELECT pg_advisory_lock($1)", RELAYS_LOCK))

        async def waits() -> bool:
            return bool(await other.fetchval(f"SELECT count(*) {LOCKS} AND NOT granted", RELAYS_LOCK))

        await eventually(waits)
        await other.execute(f"SELECT pg_terminate_backend(pid) {LOCKS} AND granted", RELAYS_LOCK)
        await waiting
        yield connection
    finally:
        await connection.close()
        await other.close()


async def _forget_the_unreadable(stack: Stack) -> None:
    base = stack.env()["postgres"]["superuser"].rpartition("/")[0]
    for service in SERVICES:
        connection = await asyncpg.connect(f"{base}/{service}")
        try:
            await connection.execute("DELETE FROM tenancy.dead_letters WHERE type = $1", UNREADABLE)
        finally:
            await connection.close()
