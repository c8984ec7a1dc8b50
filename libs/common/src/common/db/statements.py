"""Statements compiled once, for what is asked most: see docs/adr/0030-hot-routes.md.

They are made of SQLAlchemy's own constructs like all others, become text when the module is imported, and run
as prepared statements on the driver's connection that the session has.
"""

import secrets
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

import asyncpg
from pydantic import BaseModel
from sqlalchemy import ClauseElement, PoolProxiedConnection, Select, Uuid, bindparam
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.orm import with_loader_criteria
from sqlalchemy.sql.compiler import SQLCompiler

from common import telemetry
from common.db.base import TenantRow
from common.db.engine import PREPARED, note_failure

TENANT = bindparam("tenant_id", type_=Uuid())
"""The session's tenant. Every compiled statement has it, and no caller can give another."""

_DIALECT = asyncpg_dialect()

Records = list[asyncpg.Record]


class Statement:
    """Text with `$1`, `$2`, … and the names of what stands there."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        if TENANT.key not in names:
            raise TypeError(f"the statement does not name its tenant: {text}")
        self.text, self.names = text, names

    async def run(
        self, connection: PoolProxiedConnection, tenant_id: UUID, values: Mapping[str, Any]
    ) -> Records:
        """What it finds, in the transaction that the connection is in."""
        named = {**values, TENANT.key: tenant_id}
        arguments = [named[name] for name in self.names]
        try:
            if not telemetry.is_recording():
                return await self._fetch(connection, arguments)
            with telemetry.statement_span(self.text, connection.info[PREPARED].database):
                return await self._fetch(connection, arguments)
        except asyncpg.PostgresError as error:
            note_failure(connection.info, error)
            raise

    async def _fetch(self, connection: PoolProxiedConnection, arguments: list[Any]) -> Records:
        raw: Any = connection.driver_connection
        kept: dict[Statement, Any] | None = connection.info[PREPARED].statements
        if kept is None:
            return await raw.fetch(self.text, *arguments)
        prepared = kept.get(self)
        if prepared is None:
            # Whoever could name it could replace it under the next tenant, so its name is a secret.
            kept[self] = prepared = await raw.prepare(self.text, name=f"s{secrets.token_hex(16)}")
        try:
            return await prepared.fetch(*arguments)
        except asyncpg.InvalidCachedStatementError:
            kept.clear()
            raise


def columns_of(row: type[TenantRow], model: type[BaseModel]) -> list[Any]:
    """The columns that the fields of an answer are, in their order."""
    return [getattr(row, name) for name in model.model_fields]


OUTBOX_ARRAYS = {
    "event_ids": "event_id",
    "topics": "topic",
    "types": "type",
    "subjects": "subject",
    "payloads": "data",
    "traceparents": "traceparent",
    "tracestates": "tracestate",
}
"""Names of the values that tell of events, and the outbox column that each is for."""


def with_events(statement: Statement) -> Statement:
    """The same insert, which also writes its events into the outbox, after the row (`outbox.columns_of`)."""
    columns = OUTBOX_ARRAYS.values()
    arrays = [
        f"${number}::{'uuid' if column == 'event_id' else 'text'}[]"
        for number, column in enumerate(columns, len(statement.names) + 1)
    ]
    text = f"""
WITH made AS ({statement.text}), told AS (
    INSERT INTO tenancy.outbox ({", ".join(columns)})
    SELECT event.* FROM made, unnest({", ".join(arrays)}) AS event)
SELECT * FROM made
"""  # noqa: S608 - of our own texts
    return Statement(text, (*statement.names, *OUTBOX_ARRAYS))


def compile_once(statement: ClauseElement) -> Statement:
    """A select or insert as text. A select is narrowed to the tenant as a session narrows it; an insert has
    to name the tenant among its values.

    Raises:
        TypeError: the tenant is not in it, or SQLAlchemy would convert a value on its way.
    """
    if isinstance(statement, Select):
        narrow = with_loader_criteria(TenantRow, lambda row: row.tenant_id == TENANT, include_aliases=True)
        statement = cast(ClauseElement, statement.options(narrow))
    compiled = cast(SQLCompiler, statement.compile(dialect=_DIALECT))
    if converted := _converted(compiled):
        raise TypeError(f"SQLAlchemy converts {', '.join(converted)}")
    return Statement(compiled.string, tuple(compiled.positiontup or ()))


def _converted(compiled: SQLCompiler) -> list[str]:
    """Names of values that would not reach the driver, or come from it, as they are; SQLAlchemy's own list of
    what a statement answers is the only one."""
    given = [
        str(bind.key)
        for bind in compiled.binds.values()
        if bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT) is not None
    ]
    found = [
        entry.keyname
        for entry in compiled._result_columns  # pyright: ignore[reportPrivateUsage]
        if entry.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None) is not None
    ]
    return given + found
