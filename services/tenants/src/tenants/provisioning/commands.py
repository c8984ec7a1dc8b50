"""`python -m tenants provisioning …`: sign-ups that are stuck, seen and mended by operators.

Safe while everything runs. `penguinmails provisioning` asks this, and the other services for their part.
"""

from typing import Annotated
from uuid import UUID

import asyncpg
import typer

from common import clock
from common.context import SystemContext
from common.contracts.tenants import TenantProvisioned
from common.db.session import Database
from common.errors import NotFound
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.operators import (
    By,
    acting,
    from_environment,
    opened,
    read_id,
    relay_connection,
    run,
    say,
    tell_read,
)
from tenants.provisioning import queries
from tenants.provisioning.repair import diagnose, resume
from tenants.provisioning.schemas import Diagnosis
from tenants.settings import TenantsSettings

_UNPUBLISHED = "SELECT EXISTS (SELECT FROM tenancy.outbox WHERE tenant_id = $1 AND type = $2)"

commands = typer.Typer(no_args_is_help=True, help="Sign-ups: list, show, resume; prints JSON.")


@commands.command("list")
def list_sign_ups(
    by: By,
    stuck: Annotated[bool, typer.Option("--stuck", help="Only those that somebody should look at.")] = False,
) -> None:
    """Every unfinished sign-up, oldest first."""
    run(_list(stuck, by))


@commands.command("show")
def show_sign_up(tenant: str, by: By) -> None:
    """One sign-up with the reason for each step that is not done."""
    run(_show(read_id(Kind.TENANT, tenant), by))


@commands.command("resume")
def resume_sign_up(tenant: str, by: By) -> None:
    """Have every unfinished step tried now."""
    run(_resume(read_id(Kind.TENANT, tenant), by))


async def _list(stuck: bool, by: str) -> None:
    settings = from_environment(TenantsSettings)
    async with opened(settings) as database, relay_connection(settings) as relay:
        await _tell(database, PLATFORM_TENANT, by, "provisioning list")
        async with database.tenant(SystemContext(PLATFORM_TENANT, "job", "tenants")) as session:
            tenants = await queries.list_unfinished(session)
        for tenant_id in tenants:
            found = await _diagnosis(relay, database, tenant_id)
            if found is not None and (found.stuck or not stuck):
                say(found.model_dump(mode="json"))


async def _show(tenant_id: UUID, by: str) -> None:
    settings = from_environment(TenantsSettings)
    async with opened(settings) as database, relay_connection(settings) as relay:
        found = await _diagnosis(relay, database, tenant_id)
        if found is None:
            raise _unknown(tenant_id)
        await _tell(database, tenant_id, by, "provisioning show")
    say(found.model_dump(mode="json"))


async def _resume(tenant_id: UUID, by: str) -> None:
    async with (
        opened(from_environment(TenantsSettings)) as database,
        database.tenant(acting(tenant_id, "tenants", by)) as session,
    ):
        try:
            steps = await resume(session)
        except NotFound as error:
            raise _unknown(tenant_id) from error
        started_at = (await queries.get_provisioning(session)).started_at
        await session.commit()
    tenant = to_text(Kind.TENANT, tenant_id)
    say({"tenant_id": tenant, "started_at": clock.rfc3339(started_at), "resumed": steps})


async def _diagnosis(relay: asyncpg.Connection, database: Database, tenant_id: UUID) -> Diagnosis | None:
    """None for a tenant that did not sign up here."""
    unpublished = await relay.fetchval(_UNPUBLISHED, tenant_id, TenantProvisioned.ce_type())
    async with database.tenant(_context(tenant_id)) as session:
        try:
            return await diagnose(session, unpublished=unpublished)
        except NotFound:
            return None


def _unknown(tenant_id: UUID) -> typer.BadParameter:
    return typer.BadParameter(f"{to_text(Kind.TENANT, tenant_id)} did not sign up here")


async def _tell(database: Database, tenant_id: UUID, by: str, command: str) -> None:
    async with database.tenant(acting(tenant_id, "tenants", by)) as session:
        await tell_read(session, command)
        await session.commit()


def _context(tenant_id: UUID) -> SystemContext:
    return SystemContext(tenant_id, "job", "tenants")
