"""`python -m auth keys …`: the keys that sign access tokens, and their rotation. Prints JSON."""

from typing import Annotated, Any

import typer

from auth.key import queries, rotation
from auth.models import SigningKeyRow
from auth.settings import AuthSettings
from common import clock
from common.operators import By, at_the_platform, from_environment, run, say

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
    async with at_the_platform(from_environment(AuthSettings), "auth", by) as session:
        for row in await queries.list_keys(session):
            say(_told(row))


async def _rotate(by: str, leaked: bool) -> None:
    settings = from_environment(AuthSettings)
    async with at_the_platform(settings, "auth", by) as session:
        made = await rotation.rotate(session, settings.encryption_keys, clock.now(), leaked=leaked)
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
