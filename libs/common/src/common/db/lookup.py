"""The steps that all slices take with single rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError

from common.db.errors import violated_constraint
from common.db.session import TenantSession
from common.errors import ApiError, ResourceNotFound

Found = TypeVar("Found")


async def get_one(session: TenantSession, statement: Select[Found], missing: ResourceNotFound) -> Found:
    """What `statement` finds.

    Raises:
        ResourceNotFound: `missing`, when that is nothing.
    """
    found = await session.scalar(statement)
    if found is None:
        raise missing
    return found


async def database_time(session: TenantSession) -> datetime:
    """What the database's clock says, the one clock that all processes share."""
    return (await session.execute(select(func.clock_timestamp()))).scalar_one()


def change_fields(row: object, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Set the fields that differ; returns their names, sorted."""
    changed = sorted(name for name, value in given.items() if getattr(row, name) != value)
    for name in changed:
        setattr(row, name, given[name])
    return tuple(changed)


async def flush_or_refuse(session: TenantSession, refusals: Mapping[str, type[ApiError]]) -> None:
    """Flush; a violated constraint named in `refusals` is raised as the fact it stands for."""
    try:
        await session.flush()
    except IntegrityError as error:
        refusal = refusals.get(violated_constraint(error))
        if refusal is None:
            raise
        raise refusal from error
