"""Where mutations are tried: one migrated database per service."""

import asyncpg

from common.db.migrate import migrate
from common.db.provision import provision_database, role_names
from common.testing.databases import TEST_TENANCY_KEY, DatabaseServer, ServiceDatabase
from tests.isolation.services import SERVICES, service_of


async def make_templates(server: DatabaseServer) -> dict[str, str]:
    """Migrate each service's database; returns their names by service."""
    names = {service: f"pristine_{service}" for service in SERVICES}
    for service, name in names.items():
        passwords = {role: server.passwords[role] for role in role_names(service)}
        await provision_database(server.superuser_url, service, passwords, name)
        database = ServiceDatabase(server, service, name)
        await migrate(service, database.owner_url, TEST_TENANCY_KEY, service_of(service).migrations)
    return names


async def run_sql(url: str, statements: str) -> None:
    """Run statements on a connection of their own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()
