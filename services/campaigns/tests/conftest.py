"""The service under test, and what the tests of its resources share."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from common.contracts.workspaces import WorkspaceArchived, WorkspaceCreated
from common.ids import Kind, new_id, to_text
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness, MadeTenant

Api = Callable[..., Awaitable[Harness]]
KEY_ENCRYPTION_KEY = "6b" * 32

Events = Callable[[UUID, str], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
async def service(api: Api) -> Harness:
    return await api("campaigns", key_encryption_key=KEY_ENCRYPTION_KEY)


@pytest.fixture
async def events(service_database: Callable[[str], Awaitable[ServiceDatabase]]) -> Events:
    """Call it with a tenant and a type's name: the payloads in the outbox, oldest first."""
    database = await service_database("campaigns")

    async def read(tenant_id: UUID, name: str) -> list[dict[str, Any]]:
        connection = await asyncpg.connect(database.relay_url)
        try:
            rows = await connection.fetch(
                "SELECT data FROM tenancy.outbox WHERE tenant_id = $1 AND type = $2 ORDER BY id",
                tenant_id,
                f"penguinmails.{name}.v1",
            )
        finally:
            await connection.close()
        return [json.loads(row["data"]) for row in rows]

    return read


async def add_workspace(service: Harness, tenant: MadeTenant) -> UUID:
    """A further workspace, as the workspaces service would announce it."""
    workspace_id = new_id()
    event = WorkspaceCreated(
        tenant_id=tenant.tenant_id,
        workspace_id=workspace_id,
        version=1,
        name="Second",
        slug="second",
        admin_id=tenant.owner_id,
    )
    await service.handle(tenant.tenant_id, event)
    return workspace_id


async def archive_workspace(service: Harness, tenant: MadeTenant, workspace_id: UUID) -> None:
    event = WorkspaceArchived(tenant_id=tenant.tenant_id, workspace_id=workspace_id, version=2)
    await service.handle(tenant.tenant_id, event)


def workspace_text(workspace_id: UUID) -> str:
    return to_text(Kind.WORKSPACE, workspace_id)


def stable(answer: httpx.Response) -> dict[str, Any]:
    """A problem without what may differ between two askers."""
    return {name: value for name, value in answer.json().items() if name not in ("trace_id", "instance")}


async def make(service: Harness, tenant: MadeTenant, path: str, **fields: Any) -> str:
    """Id of a resource at `/api/v1{path}`, made in the tenant's workspace unless `fields` say otherwise."""
    body = {"workspace_id": workspace_text(tenant.workspace_id), **fields}
    made = await service.client.post(f"/api/v1{path}", headers=tenant.headers, json=body)
    assert made.status_code == 201, made.text
    return made.headers["Location"].rpartition("/")[2]


async def make_contacts(service: Harness, tenant: MadeTenant, count: int, **fields: Any) -> list[str]:
    """Ids of contacts of the tenant's workspace, oldest first."""
    domain = f"{new_id().hex}.example.com"
    return [
        await make(service, tenant, "/contacts", email=f"{number}@{domain}", **fields)
        for number in range(count)
    ]
