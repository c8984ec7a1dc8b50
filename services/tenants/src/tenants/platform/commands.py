"""`python -m tenants tenants …`: what operators do over HTTP, at the command line. Prints JSON."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError

from common.contracts.audit import Target
from common.db.session import TenantSession
from common.errors import ResourceNotFound
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.operators import By, acting, from_environment, opened, read_id, run, say, tell_first, tell_read
from common.schema import Text
from tenants.models import CompanyRow
from tenants.platform import queries, service
from tenants.platform.paging import every
from tenants.platform.presentation import present
from tenants.platform.rules import Flag
from tenants.platform.schemas import LimitsUpdate, TenantDetail, TenantSummary
from tenants.settings import TenantsSettings
from tenants.tenant.queries import get_company, lock_company

Value = TypeVar("Value")

_FLAG: TypeAdapter[Flag] = TypeAdapter(Flag)
_TEXT: TypeAdapter[str] = TypeAdapter(Text)
LIFT = "plan"
"""In place of a value: the plan decides again."""

Act = Callable[[TenantSession, CompanyRow], Awaitable[None]]
Tenant = Annotated[str, typer.Argument(help="tenant_…")]
Override = Annotated[str | None, typer.Option(help=f"A number, or `{LIFT}` to lift the override.")]

commands = typer.Typer(no_args_is_help=True, help="Tenants, for operators; prints JSON, one a line.")


@commands.command("list")
def list_tenants(
    by: By,
    q: Annotated[str | None, typer.Option(help="Part of the company's name.")] = None,
    status: Annotated[str | None, typer.Option()] = None,
    plan: Annotated[str | None, typer.Option()] = None,
) -> None:
    """All tenants, newest first."""
    run(_list(by, queries.Wanted(q, status, plan)))


@commands.command()
def show(tenant: Tenant, by: By) -> None:
    """One tenant."""
    run(_act(tenant, by))


@commands.command()
def suspend(tenant: Tenant, by: By, reason: Annotated[str, typer.Option(help="For the audit log.")]) -> None:
    """Suspend a tenant."""
    words = _validated(_TEXT, reason, "a reason is 1 to 255 characters")
    run(_act(tenant, by, lambda session, row: service.suspend(session, row, words)))


@commands.command()
def reactivate(tenant: Tenant, by: By) -> None:
    """Lift the operators' suspension."""
    run(_act(tenant, by, service.reactivate))


@commands.command()
def limits(
    tenant: Tenant,
    by: By,
    max_workspaces: Override = None,
    max_users: Override = None,
    email_sends_per_month: Override = None,
) -> None:
    """Override limits of the plan."""
    said = {
        "max_workspaces": max_workspaces,
        "max_users": max_users,
        "email_sends_per_month": email_sends_per_month,
    }
    try:
        given = {name: _number(text) for name, text in said.items() if text is not None}
        changes = LimitsUpdate(**given).given()
    except ValueError as error:
        raise typer.BadParameter(f"a limit is a whole number, or `{LIFT}`") from error
    run(_act(tenant, by, lambda session, row: service.change_limits(session, row, changes)))


@commands.command()
def flag(
    tenant: Tenant,
    name: Annotated[str, typer.Argument(help="The feature flag.")],
    value: Annotated[str, typer.Argument(help=f"on, off, a number, or `{LIFT}` to lift the override.")],
    by: By,
) -> None:
    """Override a feature flag of the plan."""
    chosen = _validated(_FLAG, name, f"there is no flag {name}")
    meant = _meant(value)
    run(_act(tenant, by, lambda session, row: service.change_feature(session, row, chosen, meant)))


def _number(text: str) -> int | None:
    return None if text == LIFT else int(text)


def _meant(text: str) -> bool | int | None:
    if text in ("on", "off"):
        return text == "on"
    try:
        return _number(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text} is neither on, off, a number nor `{LIFT}`") from error


def _validated(adapter: TypeAdapter[Value], text: str, otherwise: str) -> Value:
    try:
        return adapter.validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(otherwise) from error


async def _list(by: str, wanted: queries.Wanted) -> None:
    async with opened(from_environment(TenantsSettings)) as database:
        context = acting(PLATFORM_TENANT, "tenants", by)
        await tell_first(database, context, "tenants list")
        async with database.tenant(context) as session:
            async for row in every(partial(queries.find_tenants, session, wanted)):
                say(TenantSummary.model_validate(row).model_dump(mode="json"))


async def _act(tenant: str, by: str, act: Act | None = None) -> None:
    """Do it, and print the tenant as it is then."""
    try:
        say((await _changed(read_id(Kind.TENANT, tenant), by, act)).model_dump(mode="json"))
    except ResourceNotFound as error:
        raise typer.BadParameter(f"there is no tenant {tenant}") from error


async def _changed(tenant_id: UUID, by: str, act: Act | None) -> TenantDetail:
    async with _session(tenant_id, by) as session:
        row = await (get_company(session) if act is None else lock_company(session))
        if act is not None:
            await act(session, row)
        else:
            await tell_read(
                session, "tenants show", Target(type="tenant", id=to_text(Kind.TENANT, tenant_id))
            )
        detail = await present(session, row)
        await session.commit()
    return detail


@asynccontextmanager
async def _session(tenant_id: UUID, by: str) -> AsyncGenerator[TenantSession]:
    context = acting(tenant_id, "tenants", by)
    async with opened(from_environment(TenantsSettings)) as database, database.tenant(context) as session:
        yield session
