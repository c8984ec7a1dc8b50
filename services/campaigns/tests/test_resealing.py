"""DKIM keys get another encryption key: under load, killed half way, with the old one gone too early."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from uuid import UUID

import asyncpg
import pytest
from libs.common.tests.backbone import until
from typer.testing import CliRunner

from campaigns.__main__ import SERVICE
from campaigns.domain.keys import name_of_secret, unseal
from common.ids import new_id
from common.resealing import Resealing
from common.sealing import NO_ID, EncryptionKeys, SealingSettings, Unreadable, sealed_with
from common.secrets_cli import count_secrets, secrets_commands
from common.testing.databases import ServiceDatabase
from common.testing.harness import TEST_LINK_SECRET, Harness, MadeTenant

from .conftest import KEY_ENCRYPTION_KEY, Api, Events, make

NEW = "0b" * 32
OLD_KEYS, NEW_KEYS = EncryptionKeys(KEY_ENCRYPTION_KEY), EncryptionKeys(NEW)
KIND = "dkim_keys.private_key"


class Vault:
    """The DKIM keys of the tenants of one test, as the superuser sees them, and the command line."""

    def __init__(self, database: ServiceDatabase, connection: asyncpg.Connection) -> None:
        self._database, self.connection = database, connection

    def environment(self, key: str) -> dict[str, str]:
        return {
            "DATABASE_URL": self._database.app_url,
            "RELAY_DATABASE_URL": self._database.relay_url,
            "POOLER_MODE": self._database.pooler_mode,
            "TENANCY_KEY": self._database.tenancy_key,
            "LINK_SECRET": TEST_LINK_SECRET,
            "KEY_ENCRYPTION_KEY": key,
        }

    async def say(self, *words: str, key: str, status: int = 0) -> list[dict[str, Any]]:
        """What `python -m campaigns secrets …` prints, progress left out."""
        with patch.dict(os.environ, self.environment(key)):
            result = await asyncio.to_thread(CliRunner().invoke, secrets_commands(SERVICE), words)
        assert result.exit_code == status, result.output
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        return [line for line in lines if "progress" not in line]

    async def secrets(self, *tenants: MadeTenant) -> list[tuple[UUID, UUID, bytes]]:
        statement = (
            "SELECT tenant_id, domain_id, private_key FROM campaigns.dkim_keys WHERE tenant_id = ANY ($1)"
        )
        rows = await self.connection.fetch(statement, [tenant.tenant_id for tenant in tenants])
        return [tuple(row) for row in rows]  # type: ignore[misc]

    async def keys_of(self, *tenants: MadeTenant) -> list[str]:
        return [sealed_with(secret) for _, _, secret in await self.secrets(*tenants)]


@pytest.fixture
async def vault(
    service: Harness, service_database: Callable[[str], Awaitable[ServiceDatabase]]
) -> AsyncIterator[Vault]:
    """Without keys of other tests."""
    database = await service_database("campaigns")
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute("DELETE FROM campaigns.dkim_keys")
    yield Vault(database, connection)
    await connection.execute("DELETE FROM campaigns.dkim_keys")
    await connection.close()


async def add_domains(service: Harness, tenant: MadeTenant, count: int) -> None:
    for _ in range(count):
        await make(service, tenant, "/domains", domain=f"{new_id().hex}.example")


async def fill(vault: Vault, service: Harness, tenant: MadeTenant, count: int) -> None:
    """Rows by the hundred, whose secrets are short."""
    await add_domains(service, tenant, 1)
    for _ in range(count - 1):
        domain_id = new_id()
        await vault.connection.execute(
            "INSERT INTO campaigns.domains (tenant_id, domain_id, workspace_id, domain, ownership_token) "
            "SELECT tenant_id, $2, workspace_id, $3, '-' FROM campaigns.domains WHERE tenant_id = $1 LIMIT 1",
            tenant.tenant_id,
            domain_id,
            f"{domain_id.hex}.example",
        )
        await vault.connection.execute(
            "INSERT INTO campaigns.dkim_keys (tenant_id, domain_id, selector, public_key, private_key) "
            "VALUES ($1, $2, $3, '-', $4)",
            tenant.tenant_id,
            domain_id,
            domain_id.hex,
            OLD_KEYS.seal(b"short", name_of_secret(tenant.tenant_id, domain_id)),
        )


async def test_everything_gets_the_new_key_and_a_second_run_finds_nothing(
    service: Harness, vault: Vault, events: Events
) -> None:
    tenant, other, nobody = [await service.make_tenant() for _ in range(3)]
    await fill(vault, service, tenant, 203)
    await add_domains(service, other, 2)
    before = await vault.say("list", key=f"{NEW},{KEY_ENCRYPTION_KEY}")
    assert before == [{"kind": KIND, "sealed_with": OLD_KEYS.current, "key": "older", "count": 205}]
    both = f"{NEW},{KEY_ENCRYPTION_KEY}"
    told = await vault.say("reseal", "--by", "olga", key=both)
    assert told == [{"kind": KIND, "resealed": 205, "unreadable": []}]
    for tenant_id, domain_id, secret in await vault.secrets(tenant, other):
        assert NEW_KEYS.unseal(secret, name_of_secret(tenant_id, domain_id))
    assert await vault.say("list", key=NEW) == [
        {"kind": KIND, "sealed_with": NEW_KEYS.current, "key": "current", "count": 205}
    ]
    assert [told["count"] for told in await events(tenant.tenant_id, "SecretsResealed")] == [100, 100, 3]
    (event,) = await events(other.tenant_id, "SecretsResealed")
    assert (event["kind"], event["count"], event["sealed_with"]) == (KIND, 2, NEW_KEYS.current)
    assert event["meta"]["actor"] == {"type": "operator", "id": "olga"}
    assert await events(nobody.tenant_id, "SecretsResealed") == []
    secrets = await vault.secrets(tenant, other)
    assert await vault.say("reseal", "--by", "olga", key=both) == [
        {"kind": KIND, "resealed": 0, "unreadable": []}
    ]
    assert await vault.secrets(tenant, other) == secrets
    assert len(await events(other.tenant_id, "SecretsResealed")) == 1


async def test_domains_come_and_go_meanwhile(service: Harness, vault: Vault, api: Api) -> None:
    """One process has the new key already, another still seals with the old one; two runs at once."""
    both, tenant = f"{NEW},{KEY_ENCRYPTION_KEY}", await service.make_tenant()
    await fill(vault, service, tenant, 120)
    newer = await api("campaigns", key_encryption_key=both)

    _, token = await newer.make_user(tenant, workspaces={tenant.workspace_id: "admin"})
    asked = {service: tenant, newer: replace(tenant, token=token)}

    async def come_and_go(process: Harness) -> None:
        tenant = asked[process]
        for _ in range(3):
            await make(process, tenant, "/domains", domain=f"{new_id().hex}.example")
            gone = await make(process, tenant, "/domains", domain=f"{new_id().hex}.example")
            answer = await process.client.delete(f"/api/v1/domains/{gone}", headers=tenant.headers)
            assert answer.status_code == 204, answer.text

    async def second_run() -> int:
        resealing = Resealing("campaigns", service.kernel.database, EncryptionKeys(both), "otto")
        return sum([done.count async for done in resealing.run(SERVICE.sealed[0], [tenant.tenant_id])])

    (told,), second, *_ = await asyncio.gather(
        vault.say("reseal", "--by", "olga", key=both), second_run(), come_and_go(service), come_and_go(newer)
    )
    assert told["resealed"] + second >= 120
    late = (await vault.keys_of(tenant)).count(OLD_KEYS.current)
    (again,) = await vault.say("reseal", "--by", "olga", key=both)
    assert again["resealed"] == late, "what an old process has sealed since"
    found = await vault.secrets(tenant)
    assert len(found) == 126
    for tenant_id, domain_id, secret in found:
        assert NEW_KEYS.unseal(secret, name_of_secret(tenant_id, domain_id))


async def test_a_run_that_is_killed_half_way_is_finished_by_the_next(
    service: Harness, vault: Vault, events: Events
) -> None:
    tenants = sorted([await service.make_tenant() for _ in range(3)], key=lambda one: one.tenant_id)
    for tenant in tenants:
        await add_domains(service, tenant, 1)
    both = f"{NEW},{KEY_ENCRYPTION_KEY}"
    command = (sys.executable, "-m", "campaigns", "secrets", "reseal", "--by", "olga")
    async with vault.connection.transaction():
        await vault.connection.execute(
            "SELECT FROM campaigns.dkim_keys WHERE tenant_id = $1 FOR UPDATE", tenants[1].tenant_id
        )
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **vault.environment(both)}, stdout=asyncio.subprocess.PIPE
        )

        async def begun() -> bool:
            return NEW_KEYS.current in await vault.keys_of(tenants[0])

        await until(begun, within=60)
        process.send_signal(signal.SIGKILL)
        await process.communicate()
    keys = [await vault.keys_of(tenant) for tenant in tenants]
    assert keys == [[NEW_KEYS.current], [OLD_KEYS.current], [OLD_KEYS.current]]
    for tenant_id, domain_id, secret in await vault.secrets(*tenants):
        assert unseal(tenant_id, domain_id, secret, EncryptionKeys(both)).key_size == 2048
    (told,) = await vault.say("reseal", "--by", "olga", key=both)
    assert told["resealed"] == 2
    assert set(await vault.keys_of(*tenants)) == {NEW_KEYS.current}
    assert [len(await events(tenant.tenant_id, "SecretsResealed")) for tenant in tenants] == [1, 1, 1]


async def test_an_old_key_that_is_gone_too_early_is_named_and_what_it_sealed_stays(
    service: Harness, vault: Vault
) -> None:
    tenant = await service.make_tenant()
    await fill(vault, service, tenant, 2)
    secrets = await vault.secrets(tenant)
    (told,) = await vault.say("reseal", "--by", "olga", key=NEW, status=1)
    assert told["resealed"] == 0
    assert all(f"encryption key {OLD_KEYS.current}, which" in why for why in told["unreadable"])
    assert len(told["unreadable"]) == 2
    assert await vault.secrets(tenant) == secrets
    (listed,) = await vault.say("list", key=NEW)
    assert (listed["key"], listed["count"]) == ("missing", 2)
    with pytest.raises(Unreadable, match="does not list"):
        unseal(*secrets[0], NEW_KEYS)


async def test_what_has_no_key_id_yet_and_what_does_not_open_hold_nobody_up(
    service: Harness, vault: Vault
) -> None:
    tenant = await service.make_tenant()
    await add_domains(service, tenant, 3)
    broken, older, _ = sorted(domain_id for _, domain_id, _ in await vault.secrets(tenant))
    change = "UPDATE campaigns.dkim_keys SET private_key = {} WHERE domain_id = $1"
    await vault.connection.execute(change.format(r"private_key || '\x00'"), broken)
    header = len(OLD_KEYS.header) + 1
    await vault.connection.execute(change.format(f"substring(private_key FROM {header})"), older)
    settings = SealingSettings(**{name.lower(): value for name, value in vault.environment(NEW).items()})  # type: ignore[arg-type]
    counted = await count_secrets(SERVICE, settings)
    assert counted == {KIND: {OLD_KEYS.current: 2, NO_ID: 1}}
    (told,) = await vault.say("reseal", "--by", "olga", key=f"{NEW},{KEY_ENCRYPTION_KEY}", status=1)
    assert (told["resealed"], len(told["unreadable"])) == (2, 1)
    assert str(broken) in told["unreadable"][0]
