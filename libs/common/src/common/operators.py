"""What the operators' commands of all services share: they print JSON, one document a line."""

import asyncio
import getpass
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import typer

from common.settings import ServiceSettings

Operator = Annotated[
    str, typer.Option(help="Who is named in the audit log.", default_factory=getpass.getuser)
]


def say(document: dict[str, Any]) -> None:
    """Print one document."""
    typer.echo(json.dumps(document))


def run(work: Coroutine[Any, Any, None]) -> None:
    """Do the work of one command."""
    asyncio.run(work)


@asynccontextmanager
async def relay_connection(settings: ServiceSettings) -> AsyncGenerator[asyncpg.Connection]:
    """A connection as the role that sees all tenants' outbox and envelopes, and nothing of what they have."""
    connection = await asyncpg.connect(settings.relay_database_url, timeout=5)
    try:
        yield connection
    finally:
        await connection.close()
