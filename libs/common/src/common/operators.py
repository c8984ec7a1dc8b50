"""What the operators' commands of all services share: they print JSON, one document a line."""

import asyncio
import getpass
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar
from uuid import UUID

import asyncpg
import typer

from common.db.session import Database
from common.errors import ApiError, Invalid
from common.ids import Kind, parse
from common.service import open_database
from common.settings import ServiceSettings, Settings

SettingsT = TypeVar("SettingsT", bound=Settings)

By = Annotated[
    str, typer.Option("--by", help="Who is named in the audit log.", default_factory=getpass.getuser)
]


def say(document: dict[str, Any]) -> None:
    """Print one document."""
    typer.echo(json.dumps(document))


def run(work: Coroutine[Any, Any, None]) -> None:
    """Do the work of one command; what cannot be done is told like a wrong argument (status 2)."""
    try:
        asyncio.run(work)
    except Invalid as error:
        raise typer.BadParameter("; ".join(message for _, message in error.problems)) from error
    except ApiError as error:
        raise typer.BadParameter(error.detail) from error


def read_id(kind: Kind, text: str) -> UUID:
    """The id that an argument names."""
    try:
        return parse(kind, text)
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no {kind.name.lower()}'s id") from error


def from_environment(settings: type[SettingsT]) -> SettingsT:
    """Settings of this kind."""
    return settings()  # type: ignore[call-arg]  # fields come from the environment


@asynccontextmanager
async def opened(settings: ServiceSettings) -> AsyncGenerator[Database]:
    """The service's database, for one command."""
    database = open_database(settings)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def relay_connection(settings: ServiceSettings) -> AsyncGenerator[asyncpg.Connection]:
    """A connection as the role that sees all tenants' outbox and envelopes, and nothing of what they have."""
    connection = await asyncpg.connect(settings.relay_database_url, timeout=5)
    try:
        yield connection
    finally:
        await connection.close()
