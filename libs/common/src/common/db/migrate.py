"""Migrations of one service: the kernel's branch and the service's own, under one advisory lock.

A migration expands: the release before it works on its schema too (docs/adr/0027-expand-and-contract.md).
"""

from collections.abc import Collection, Sequence
from importlib import resources
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from common.db.engine import make_engine
from common.db.proofs import Prover

_LOCK = 0x70656E67  # "peng": one migration at a time per database


def kernel_sql(service: str) -> str:
    """`tenancy.sql` for `service`."""
    sql = resources.files("common.db").joinpath("tenancy.sql").read_text(encoding="utf-8")
    return sql.replace("{service}", service)


def run_script(bind: Connection, script: str) -> None:
    """Run a script of several statements inside the migration's transaction."""
    driver: asyncpg.Connection = bind.connection.dbapi_connection.driver_connection  # type: ignore[union-attr]
    bind.exec_driver_sql("SELECT 1")  # makes sure that the transaction has begun
    await_only(driver.execute(script))


async def migrate(
    service: str,
    owner_url: str,
    tenancy_key: str,
    migrations: Path,
    *,
    to: str = "heads",
    patience: float = 10.0,
) -> None:
    """Bring the database to the newest schema of kernel and service, and store the tenancy key.

    Runs as `<service>_owner`. Everything happens in one transaction; a second run changes nothing. `to` names
    a revision to stop at. Waits at most `patience` seconds for each lock on a table, for whoever comes to the
    table meanwhile waits behind us.
    """
    engine = make_engine(owner_url, pool_size=1, pool_timeout=30)
    try:
        async with engine.begin() as connection:
            await connection.exec_driver_sql("SELECT pg_advisory_xact_lock($1)", (_LOCK,))
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{patience:.3f}s'")
            await connection.run_sync(_upgrade, service, migrations, to)
            await connection.exec_driver_sql(
                "INSERT INTO tenancy.keys (inner_pad, outer_pad) VALUES ($1, $2) "
                "ON CONFLICT (id) DO UPDATE SET inner_pad = $1, outer_pad = $2",
                Prover(tenancy_key).pads(),
            )
    finally:
        await engine.dispose()


def scripts(migrations: Path) -> ScriptDirectory:
    """All revisions of a service, the kernel's included."""
    return ScriptDirectory.from_config(_config(migrations))


def applied(script: ScriptDirectory, stored: Collection[str]) -> set[str]:
    """All revisions that the stored ones stand for: Alembic stores none that another depends on.

    Raises:
        alembic.util.CommandError: the scripts do not know one of them.
    """
    found: set[str] = set()
    ahead = list(stored)
    while ahead:
        revision = script.get_revision(ahead.pop())
        if revision.revision not in found:
            found.add(revision.revision)
            ahead += [*_named(revision.down_revision), *_named(revision.dependencies)]
    return found


def _named(revisions: str | Sequence[str] | None) -> Sequence[str]:
    return (revisions,) if isinstance(revisions, str) else revisions or ()


def _upgrade(connection: Connection, service: str, migrations: Path, to: str) -> None:
    config = _config(migrations)
    config.attributes["connection"] = connection
    config.attributes["service"] = service
    command.upgrade(config, to)


def _config(migrations: Path) -> Config:
    kernel = str(resources.files("common.db").joinpath("kernel_migrations"))
    config = Config()
    config.set_main_option("script_location", str(resources.files("common.db").joinpath("alembic_env")))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", f"{kernel}\n{migrations}".replace("%", "%%"))
    return config
