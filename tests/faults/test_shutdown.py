"""Two instances of each service behind the gateway; one is told to stop under load, and no client notices."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from penguinmails import binaries, gateway, ports
from penguinmails.credentials import SERVICES
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually
from tests.faults.test_outages import all_contacts

DRAIN_SECONDS = 1.0
NOTICE_SECONDS = 0.2
"""How often this gateway asks for readiness: it must notice before the instance stops listening."""


@dataclass
class Second:
    """A second instance of a service, beside the stack's."""

    service: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path


@pytest.fixture
def seconds(stack: Stack, tmp_path: Path) -> Iterator[dict[str, Second]]:
    made: dict[str, Second] = {}
    for service in SERVICES:
        port, log = ports.random_free({other.port for other in made.values()}), tmp_path / f"{service}.log"
        environment = {
            **os.environ,
            **stack.config.service_environment(service),
            "SERVICE_PORT": str(port),
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
        }
        with log.open("wb") as output:
            command = [sys.executable, "-m", service, "run"]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        made[service] = Second(service, port, process, log)
    try:
        yield made
    finally:
        for second in made.values():
            second.process.kill()
            second.process.wait()


@pytest.fixture
def edge(stack: Stack, seconds: dict[str, Second], tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A gateway as deployed with two instances of each service; its port and that of its admin."""
    port = ports.random_free(set())
    admin = ports.random_free({port})
    settings = {**gateway.local_settings(stack.config), "GATEWAY_PORT": str(port), "ADMIN_PORT": str(admin)}
    document = yaml.safe_load(gateway.render(settings))
    for cluster in document["static_resources"]["clusters"]:
        if cluster["name"] in seconds:
            place = {"address": "127.0.0.1", "port_value": seconds[cluster["name"]].port}
            endpoint = {"endpoint": {"address": {"socket_address": place}}}
            cluster["load_assignment"]["endpoints"][0]["lb_endpoints"].append(endpoint)
            often = {"interval": f"{NOTICE_SECONDS}s", "no_traffic_interval": f"{NOTICE_SECONDS}s"}
            cluster["health_checks"] = [{**check, **often} for check in cluster["health_checks"]]
    path = tmp_path / "envoy.yaml"
    path.write_text(yaml.safe_dump(document))
    with (tmp_path / "envoy.log").open("wb") as log:
        command = [str(binaries.envoy()), "-c", str(path), "--disable-hot-restart", "--concurrency", "1"]
        process = subprocess.Popen([*command, "--log-level", "warning"], stdout=log, stderr=log)
    try:
        yield port, admin
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
async def pair(edge: tuple[int, int]) -> AsyncIterator[Platform]:
    """A client of the gateway, which sees both instances of each service healthy."""
    port, admin = edge
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{admin}") as stats:

        async def both_healthy() -> bool:
            try:
                told = (await stats.get("/stats?filter=membership_healthy|jwks_fetch_success")).text
            except httpx.HTTPError:
                return False
            counts = dict(line.split(": ") for line in told.splitlines() if ": " in line)
            healthy = [counts.get(f"cluster.{service}.membership_healthy") for service in SERVICES]
            return healthy == ["2"] * len(SERVICES) and any("jwks_fetch" in name for name in counts)

        await eventually(both_healthy, within=40)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
        yield Platform(http)


Act = Callable[[int], Awaitable[httpx.Response]]


@dataclass
class Load:
    """Clients that read and write without a pause; every answer counts."""

    platform: Platform
    tenant: Tenant
    answered: int = 0
    failed: list[str] = field(default_factory=list[str])
    contacts: set[str] = field(default_factory=set[str])

    def acts_on(self, service: str) -> tuple[Act, Act]:
        """A read and a write of the service."""
        tenant, workspace = self.tenant, f"/workspaces/{self.tenant.default_workspace_id}"
        match service:
            case "auth":
                me = f"/users/{tenant.owner_user_id}"
                return self._reads(me), self._writes(me, name="Olga {}")
            case "tenants":
                settings = f"/tenants/{tenant.tenant_id}/settings"
                return self._reads(settings), self._writes(settings, company_name="Company {}")
            case "workspaces":
                return self._reads(workspace), self._writes(workspace, name="Workspace {}")
            case "campaigns":
                return self._reads("/contacts"), self._add_contact
            case _:
                return self._reads("/audit/events"), self._reads("/audit/events")

    def _reads(self, path: str) -> Act:
        return lambda _number: self.platform.get(self.tenant, path)

    def _writes(self, path: str, **fields: str) -> Act:
        async def write(number: int) -> httpx.Response:
            headers = {
                **self.tenant.headers,
                "Content-Type": "application/merge-patch+json",
                "If-Match": (await self.platform.get(self.tenant, path)).headers.get("ETag", "*"),
            }
            body = {name: text.format(number) for name, text in fields.items()}
            return await self.platform.http.patch(f"/api/v1{path}", headers=headers, json=body)

        return write

    async def _add_contact(self, number: int) -> httpx.Response:
        body = {
            "workspace_id": self.tenant.default_workspace_id,
            "email": f"c{number}-{id(self)}@example.com",
        }
        answer = await self.platform.post(self.tenant, "/contacts", body)
        if answer.status_code == 201:
            self.contacts.add(answer.json()["contact_id"])
        return answer

    async def keep(self, act: Act) -> None:
        number = 0
        while True:
            number += 1
            try:
                answer = await act(number)
            except httpx.HTTPError as error:
                self.failed.append(type(error).__name__)
                continue
            self.answered += 1
            if not answer.is_success:
                self.failed.append(f"{answer.request.method} {answer.url.path}: {answer.text}")

    @asynccontextmanager
    async def on(self, service: str) -> AsyncIterator[None]:
        read, write = self.acts_on(service)
        tasks = [asyncio.create_task(self.keep(act)) for act in (read, read, write)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def more(self) -> None:
        before = self.answered

        async def grown() -> bool:
            return self.answered >= before + 10

        await eventually(grown, within=20)


async def assert_audited(platform: Platform, tenant: Tenant, contacts: set[str]) -> None:
    async def complete() -> bool:
        events: list[dict[str, Any]] = await platform.audit(tenant, action="contact.created")
        found = [event["target"]["id"] for event in events]
        assert len(found) == len(set(found)), "audited twice"
        return contacts <= set(found)

    await eventually(complete, within=20, every=0.3)


async def test_an_instance_told_to_stop_fails_no_request_and_loses_nothing(
    pair: Platform, tenant: Tenant, seconds: dict[str, Second]
) -> None:
    load = Load(pair, tenant)
    for service, second in seconds.items():
        async with load.on(service):
            await load.more()
            second.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(second.process.wait, 20) == 0, second.log.read_text()[-3000:]
            await load.more()
        assert not load.failed, f"{service}: {load.failed[:5]}"
        told = second.log.read_text()
        assert '"message": "stopped"' in told
        assert "events stay in the outbox" not in told
        assert "hand-over incomplete" not in told
    assert load.contacts <= await all_contacts(pair, tenant)
    await assert_audited(pair, tenant, load.contacts)
