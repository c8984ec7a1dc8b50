"""What the operators' commands of all services share: they print JSON, one document a line."""

import asyncio
import getpass
import json
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, TypeVar
from uuid import UUID

import asyncpg
import typer
from aiokafka.errors import KafkaError

from common import clock
from common.bus import outbox
from common.context import SystemContext
from common.contracts.audit import AccessRecord, AccessRecorded, HttpRequest, Target
from common.contracts.envelope import Actor
from common.db.errors import driver_error, is_unavailable
from common.db.session import Database, TenantSession
from common.errors import ApiError, Invalid
from common.ids import PLATFORM_TENANT, Kind, new_id, parse, to_text
from common.service import open_database
from common.settings import ServiceSettings, Settings

_COMMAND_LINE = "command line"
SettingsT = TypeVar("SettingsT", bound=Settings)

By = Annotated[
    str, typer.Option("--by", help="Who is named in the audit log.", default_factory=getpass.getuser)
]

Tenant = Annotated[
    str | None, typer.Option("--tenant", help="Whose event is meant, where several tenants have the id.")
]


def of_one_tenant(rows: Sequence[asyncpg.Record], tenant: str | None) -> list[asyncpg.Record]:
    """Those of the tenant that is named; none need be while all are of one.

    Our ids are unique, but records of strangers can come with any.
    """
    if tenant is not None:
        tenant_id = read_id(Kind.TENANT, tenant)
        return [row for row in rows if row["tenant_id"] == tenant_id]
    found = sorted({to_text(Kind.TENANT, row["tenant_id"]) for row in rows})
    if len(found) > 1:
        raise typer.BadParameter(f"several tenants have that event, say --tenant: {', '.join(found)}")
    return list(rows)


def say(document: dict[str, Any]) -> None:
    """Print one document."""
    typer.echo(json.dumps(document))


def run(work: Coroutine[Any, Any, None]) -> None:
    """Do the work of one command; what cannot be done is told like a wrong argument (status 2), and that the
    database or the broker cannot be reached in one line (status 1)."""
    try:
        asyncio.run(work)
    except Invalid as error:
        raise typer.BadParameter("; ".join(message for _, message in error.problems)) from error
    except ApiError as error:
        raise typer.BadParameter(error.detail) from error
    except Exception as error:
        if not _is_out_of_reach(error):
            raise
        typer.echo(f"{type(error).__name__}: {error}".splitlines()[0], err=True)
        raise typer.Exit(1) from error


def _is_out_of_reach(error: Exception) -> bool:
    """The broker or the database is away, or the database does not take our password."""
    below = driver_error(error)
    refused = below is not None and (below.sqlstate or "").startswith("28")
    return refused or isinstance(error, KafkaError) or is_unavailable(error)


def read_id(kind: Kind, text: str) -> UUID:
    """The id that an argument names."""
    try:
        return parse(kind, text)
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no {kind.name.lower()}'s id") from error


def from_environment(settings: type[SettingsT]) -> SettingsT:
    """Settings of this kind."""
    return settings()  # type: ignore[call-arg]  # fields come from the environment


def acting(tenant_id: UUID, service: str, by: str) -> SystemContext:
    """The platform acting for a tenant, on the word of who is at the command line."""
    return SystemContext(tenant_id, "platform", service, on_behalf_of=Actor(type="operator", id=by))


@asynccontextmanager
async def at_the_platform(settings: ServiceSettings, service: str, by: str) -> AsyncGenerator[TenantSession]:
    """A session of the platform's own tenant, for a command that needs no other."""
    async with opened(settings) as database, database.tenant(acting(PLATFORM_TENANT, service, by)) as session:
        yield session


async def tell_read(session: TenantSession, command: str, *targets: Target) -> None:
    """Record a read at the command line, in its own transaction, as one over HTTP is recorded."""
    request = HttpRequest(
        request_id=str(new_id()), method="GET", route=command, ip="", user_agent=_COMMAND_LINE
    )
    record = AccessRecord(
        at=clock.now(), actor=session.context.actor, request=request, status=200, targets=targets
    )
    await outbox.emit(session, AccessRecorded(tenant_id=session.tenant_id, records=(record,)))


async def tell_first(database: Database, context: SystemContext, command: str) -> None:
    """Commit the record of a read before any of it is shown: who prints may be cut off in the middle."""
    async with database.tenant(context) as session:
        await tell_read(session, command)
        await session.commit()


@asynccontextmanager
async def opened(settings: ServiceSettings) -> AsyncGenerator[Database]:
    """The service's database, for one command."""
    database = open_database(settings)
    try:
        yield database
    finally:
        await database.close()


def relay_connection(settings: ServiceSettings) -> AbstractAsyncContextManager[asyncpg.Connection]:
    """A connection as the role that sees all tenants' outbox and envelopes, and nothing of what they have."""
    return connected(settings.relay_database_url)


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[asyncpg.Connection]:
    """A connection for one command, by a libpq URL."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        yield connection
    finally:
        await connection.close()
