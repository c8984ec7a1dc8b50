"""Statements compiled once, for what is asked most: see docs/adr/0030-hot-routes.md.

They are made of SQLAlchemy's own constructs like all others, become text when the module is imported, and run
as prepared statements on the driver's connection that the session has.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID

import asyncpg
from pydantic import BaseModel
from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    PoolProxiedConnection,
    Select,
    Text,
    Uuid,
    bindparam,
    func,
    literal_column,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.orm import InstrumentedAttribute, with_loader_criteria
from sqlalchemy.sql.compiler import SQLCompiler

from common import telemetry
from common.db.base import TenantRow
from common.db.connection import Value
from common.db.engine import PREPARED, note_failure
from common.schema import TIME_FORMAT, is_time

TENANT = bindparam("tenant_id", type_=Uuid())
"""The session's tenant. Every compiled statement has it, and no caller can give another."""

_DIALECT = asyncpg_dialect()

Records = list[asyncpg.Record]


class First(NamedTuple):
    """A statement that finds one row, to run before another, in one message and transaction with it."""

    statement: "Statement"
    arguments: Sequence[Value]


class Statement:
    """Text with `$1`, `$2`, … and the names of what stands there. `reads`: it changes nothing."""

    def __init__(self, text: str, names: tuple[str, ...], *, reads: bool = False) -> None:
        if TENANT.key not in names:
            raise TypeError(f"the statement does not name its tenant: {text}")
        self.text, self.names, self.reads = text, names, reads

    async def run(
        self,
        connection: PoolProxiedConnection,
        tenant_id: UUID,
        values: Mapping[str, Any],
        first: First | None = None,
    ) -> Records:
        """What it finds, in the transaction that the connection is in."""
        named = {**values, TENANT.key: tenant_id}
        arguments = [named[name] for name in self.names]
        try:
            if not telemetry.is_recording():
                return await self._fetch(connection, arguments, first)
            with telemetry.statement_span(self.text, connection.info[PREPARED].database):
                return await self._fetch(connection, arguments, first)
        except asyncpg.PostgresError as error:
            note_failure(connection.info, error)
            raise

    async def _fetch(
        self, connection: PoolProxiedConnection, arguments: list[Any], first: First | None
    ) -> Records:
        raw: Any = connection.driver_connection
        kept: dict[Statement, Any] | None = connection.info[PREPARED].statements
        if kept is None:
            return await raw.fetch(self.text, *arguments)
        prepared = kept.get(self) or await self._prepare(raw, kept)
        if first is not None:
            known = kept.get(first.statement) or await first.statement._prepare(raw, kept)
            raw.write_first(known.get_name(), first.arguments)
        try:
            return await prepared.fetch(*arguments)
        except asyncpg.InvalidCachedStatementError:
            kept.clear()
            raise

    async def _prepare(self, raw: Any, kept: dict["Statement", Any]) -> Any:
        # Whoever could name it could replace it under the next tenant, so its name is a secret.
        kept[self] = prepared = await raw.prepare(self.text, name=f"s{secrets.token_hex(16)}")
        return prepared


_UTC: ColumnElement[str] = literal_column("'UTC'", Text())
_FORM: ColumnElement[str] = literal_column(f"'{TIME_FORMAT}'", Text())


def columns_of(row: type[TenantRow], model: type[BaseModel]) -> list[Any]:
    """The columns that the fields of an answer are, in their order; times in their final form, for the
    database makes a text of one faster than the driver an object."""
    return [
        _text_of(getattr(row, name)) if is_time(field.rebuild_annotation()) else getattr(row, name)
        for name, field in model.model_fields.items()
    ]


def _text_of(time: InstrumentedAttribute[Any]) -> ColumnElement[str]:
    return func.to_char(func.timezone(_UTC, time), _FORM, type_=Text()).label(time.key)


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


def _insert_events(maker: str, first: int) -> str:
    """The insert of the events given as arrays from `$first` on, once `maker` has its one row."""
    columns = OUTBOX_ARRAYS.values()
    arrays = [
        f"${number}::{'uuid' if column == 'event_id' else 'text'}[]"
        for number, column in enumerate(columns, first)
    ]
    return (
        f"INSERT INTO tenancy.outbox ({', '.join(columns)}) "  # noqa: S608 - of our own texts
        f"SELECT event.* FROM {maker}, unnest({', '.join(arrays)}) AS event"
    )


EVENTS = Statement(_insert_events("(SELECT $1::uuid) AS tenant", 2), (TENANT.key, *OUTBOX_ARRAYS))
"""Events alone."""


def with_events(statement: Statement) -> Statement:
    """The same insert, which also writes its events into the outbox, after the row (`outbox.columns_of`)."""
    told = _insert_events("made", len(statement.names) + 1)
    text = f"""
WITH made AS ({statement.text}), told AS ({told})
SELECT * FROM made
"""  # noqa: S608 - of our own texts
    return Statement(text, (*statement.names, *OUTBOX_ARRAYS))


def compile_once(statement: ClauseElement) -> Statement:
    """A select or insert as text. A select is narrowed to the tenant as a session narrows it; an insert has
    to name the tenant among its values.

    Raises:
        TypeError: the tenant is not in it, or SQLAlchemy would convert a value on its way.
    """
    reads = _only_reads(statement)
    if isinstance(statement, Select):
        narrow = with_loader_criteria(TenantRow, lambda row: row.tenant_id == TENANT, include_aliases=True)
        statement = cast(ClauseElement, statement.options(narrow))
    compiled = cast(SQLCompiler, statement.compile(dialect=_DIALECT))
    if converted := _converted(compiled):
        raise TypeError(f"SQLAlchemy converts {', '.join(converted)}")
    return Statement(compiled.string, tuple(compiled.positiontup or ()), reads=reads)


def _only_reads(statement: ClauseElement) -> bool:
    """Whether it is a select that locks nothing."""
    locks: Any = getattr(statement, "_for_update_arg", None)
    return isinstance(statement, Select) and locks is None


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
