"""A new tenancy key takes over with a migration."""

import secrets

import pytest
from conftest import service_of
from sqlalchemy.exc import DBAPIError

from common.context import SystemContext
from common.db.migrate import migrate
from common.db.session import Database
from common.ids import new_id
from common.testing.databases import DatabaseServer, ServiceDatabase, make_database


async def enter(database: ServiceDatabase, key: str) -> None:
    """What every request does first."""
    opened = Database(database.app_url, key)
    try:
        async with opened.tenant(SystemContext(new_id(), "job", database.service)) as session:
            await session.connection()
    finally:
        await opened.close()


async def test_a_new_tenancy_key_takes_over_with_a_migration(postgres: DatabaseServer) -> None:
    migrations = service_of("workspaces").migrations
    database = await make_database(postgres, "workspaces", migrations)
    try:
        await enter(database, database.tenancy_key)
        new = secrets.token_hex(32)
        await migrate("workspaces", database.owner_url, new, migrations)
        await enter(database, new)
        with pytest.raises(DBAPIError, match="tenancy proof refused"):
            await enter(database, database.tenancy_key)
    finally:
        await database.drop()
