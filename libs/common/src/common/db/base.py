"""Declarative base of all tables, and the SQL that protects a tenant table."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import DateTime, MetaData, Uuid, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


class Row(DeclarativeBase):
    """Base of every table row. Names of constraints follow PostgreSQL's own habit."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True), UUID: Uuid()}


class TenantRow(Row):
    """Base of every table that belongs to tenants: `tenant_id` leads its key and is filled by the database.

    Every statement over a subclass is narrowed to the session's tenant (see `session.py`), below which
    the table's policies do the same.
    """

    __abstract__ = True

    tenant_id: Mapped[UUID] = mapped_column(
        primary_key=True, server_default=text("tenancy.current_tenant()"), sort_order=-2
    )


class Timestamps:
    """Columns `created_at` and `updated_at`, set by the database, UTC."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.clock_timestamp(), onupdate=func.clock_timestamp()
    )


def protect(service: str, table: str, grants: str = "SELECT, INSERT, UPDATE, DELETE") -> list[str]:
    """Statements that put the tenant wall around `table` (schema-qualified) and grant it to the app role."""
    own = "tenant_id = tenancy.current_tenant()"
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant_rows ON {table} TO {service}_app USING ({own}) WITH CHECK ({own})",
        f"CREATE POLICY tenant_wall ON {table} AS RESTRICTIVE TO {service}_app "
        f"USING ({own}) WITH CHECK ({own})",
        f"GRANT {grants} ON {table} TO {service}_app",
        f"SELECT tenancy.hide_values('{table}')",
    ]
