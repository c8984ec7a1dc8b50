"""`python -m auth keys …`: the keys that sign access tokens, and their rotation. Prints JSON."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer

from auth.key import queries, rotation
from auth.models import SigningKeyRow
from auth.sealing import read_key
from auth.settings import AuthSettings
from common import clock
from common.context import SystemContext
from common.contracts.envelope import Actor
from common.db.session import TenantSession
from common.ids import PLATFORM_TENANT
from common.operators import By, from_environment, opened, run, say

commands = typer.Typer(no_args_is_help=True, help="Keys of access tokens; prints JSON.")


@commands.command("list")
def list_keys(by: By) -> None:
    """All keys, oldest first."""
    run(_list(by))


@commands.command()
def rotate(
    by: By,
    leaked: Annotated[bool, typer.Option("--leaked", help="At once; all access tokens end.")] = False,
) -> None:
    """Publish a new key, which signs as soon as everybody has it."""
    run(_rotate(by, leaked))


async def _list(by: str) -> None:
    async with _platform(from_environment(AuthSettings), by) as session:
        for row in await queries.list_keys(session):
            say(_told(row))


async def _rotate(by: str, leaked: bool) -> None:
    settings = from_environment(AuthSettings)
    encryption_key = read_key(settings.key_encryption_key.get_secret_value())
    async with _platform(settings, by) as session:
        made = await rotation.rotate(session, encryption_key, clock.now(), leaked=leaked)
        told = _told(made)
        await session.commit()
    say(told)


def _told(row: SigningKeyRow) -> dict[str, Any]:
    times = {
        "published_at": row.created_at,
        "signs_from": row.activated_at or row.created_at + rotation.PUBLISHED_FIRST,
        "retired_at": row.retired_at,
    }
    readable = {name: at and clock.rfc3339(at) for name, at in times.items()}
    return {"kid": row.kid, "status": row.status, **readable}


@asynccontextmanager
async def _platform(settings: AuthSettings, by: str) -> AsyncGenerator[TenantSession]:
    context = SystemContext(PLATFORM_TENANT, "platform", "auth", on_behalf_of=Actor(type="operator", id=by))
    async with opened(settings) as database, database.tenant(context) as session:
        yield session
