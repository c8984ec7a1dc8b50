"""Freshly provisioned and migrated service databases on a running PostgreSQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
from sqlalchemy.engine import make_url

from common.db.migrate import migrate
from common.db.provision import provision_database, role_names

TEST_TENANCY_KEY = "5e" * 32


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A PostgreSQL server and the passwords of the service roles on it, by role name."""

    superuser_url: str
    passwords: Mapping[str, str]
    pooler: tuple[str, int] | None = None
    """Host and port of a transaction pooler that the roles of requests go through."""

    def url(self, role: str, database: str, *, pooled: bool = False) -> str:
        """libpq URL of `role` on `database`, through the pooler when asked and there is one."""
        url = make_url(self.superuser_url).set(
            username=role, password=self.passwords[role], database=database
        )
        if pooled and self.pooler is not None:
            url = url.set(host=self.pooler[0], port=self.pooler[1])
        return url.render_as_string(hide_password=False)


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """One service's own throw-away database."""

    server: DatabaseServer
    service: str
    name: str
    tenancy_key: str = TEST_TENANCY_KEY

    @property
    def app_url(self) -> str:
        return self.server.url(f"{self.service}_app", self.name, pooled=True)

    @property
    def pooler_mode(self) -> str:
        """How `app_url` is to be used: the setting of this name."""
        return "session" if self.server.pooler is None else "transaction"

    @property
    def owner_url(self) -> str:
        return self.server.url(f"{self.service}_owner", self.name)

    @property
    def relay_url(self) -> str:
        return self.server.url(f"{self.service}_relay", self.name)

    @property
    def ingest_url(self) -> str:
        return self.server.url(f"{self.service}_ingest", self.name)

    @property
    def superuser_url(self) -> str:
        url = make_url(self.server.superuser_url).set(database=self.name)
        return url.render_as_string(hide_password=False)

    async def drop(self) -> None:
        connection = await asyncpg.connect(self.server.superuser_url)
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        finally:
            await connection.close()


_GRANTS = """
SELECT r.rolname, x.privilege_type FROM pg_database AS d CROSS JOIN LATERAL aclexplode(d.datacl) AS x
LEFT JOIN pg_roles AS r ON r.oid = x.grantee WHERE d.datname = $1
"""


async def clone_database(
    server: DatabaseServer, service: str, template: str, name: str | None = None
) -> ServiceDatabase:
    """A copy of the migrated database `template` as it stands, with the grants that PostgreSQL leaves out."""
    database = ServiceDatabase(server, service, name or f"test_{service}_{uuid4().hex[:12]}")
    connection = await asyncpg.connect(server.superuser_url)
    try:
        await connection.execute(
            f'CREATE DATABASE "{database.name}" OWNER "{service}_owner" TEMPLATE "{template}"'
        )
        await connection.execute(f'REVOKE ALL ON DATABASE "{database.name}" FROM PUBLIC')
        for grantee, privilege in await connection.fetch(_GRANTS, template):
            to = f'"{grantee}"' if grantee else "PUBLIC"
            await connection.execute(f'GRANT {privilege} ON DATABASE "{database.name}" TO {to}')
    finally:
        await connection.close()
    return database


async def make_database(server: DatabaseServer, service: str, migrations: Path) -> ServiceDatabase:
    """A new database of `service` with its newest schema. The roles are the server's own."""
    database = ServiceDatabase(server, service, f"test_{service}_{uuid4().hex[:12]}")
    passwords = {role: server.passwords[role] for role in role_names(service)}
    await provision_database(server.superuser_url, service, passwords, database.name)
    await migrate(service, database.owner_url, database.tenancy_key, migrations)
    return database
