"""A service of the tests' own. Each step of a counter is a change with its event; each handled one is a row.

What was committed is in `ledger.counters`, what came of it in `ledger.effects`: the verdict compares.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from aiokafka.partitioner import DefaultPartitioner
from sqlalchemy import text

from common.bus import outbox
from common.bus.errors import Invalid
from common.context import SystemContext
from common.contracts.envelope import PARTITIONS, tenant_key
from common.contracts.workspaces import WorkspaceUpdated
from common.db.session import Database, TenantSession

NAME = "ledger"
SOURCE = "workspaces"
"""Whose events it writes: consumers take them from nobody else."""
MIGRATIONS = Path(__file__).parent / "migrations"
TOPIC = WorkspaceUpdated.TOPIC

Counter = tuple[UUID, UUID]
"""Tenant and counter."""

POISON, INVALID = "poison", "invalid"
"""Names of steps that the handler cannot handle: a bug, and a refusal."""

_PLACES = list(range(PARTITIONS))
_STEP = text("""
INSERT INTO ledger.counters AS c (counter_id, version) VALUES (:counter, 1)
ON CONFLICT (tenant_id, counter_id) DO UPDATE SET version = c.version + 1 RETURNING version
""")
_EFFECT = text("INSERT INTO ledger.effects (counter_id, version) VALUES (:counter, :version)")
_TAKE_LONG = text("SELECT pg_sleep(:seconds)")
_TAKE_ID = text("SELECT pg_current_xact_id()")


def place(tenant_id: UUID) -> int:
    """The partition of the tenant's events, as every Kafka client chooses it."""
    return int(DefaultPartitioner()(tenant_key(tenant_id).encode(), _PLACES, _PLACES))


async def step(
    database: Database, counter: Counter, *, name: str = "step", early: float = 0, late: float = 0
) -> int:
    """Commit the counter's next step and its event; returns its number.

    `early`: seconds between taking a transaction id and working; `late`: between working and committing.
    """
    tenant_id, counter_id = counter
    async with database.tenant(SystemContext(tenant_id, "job", NAME)) as session:
        if early:
            await session.execute(_TAKE_ID)
            await session.execute(_TAKE_LONG, {"seconds": early})
        version: int = (await session.execute(_STEP, {"counter": counter_id})).scalar_one()
        event = WorkspaceUpdated(
            tenant_id=tenant_id, workspace_id=counter_id, version=version, name=name, slug="s"
        )
        await outbox.emit(session, event)
        if late:
            await session.execute(_TAKE_LONG, {"seconds": late})
        await session.commit()
    return version


def handler(seconds: float = 0.0) -> Callable[[TenantSession, WorkspaceUpdated], Awaitable[None]]:
    """The ledger's handler, made to take `seconds` for each event."""

    async def write_down(session: TenantSession, event: WorkspaceUpdated) -> None:
        if event.name == POISON:
            raise RuntimeError("a bug of the handler")
        if event.name == INVALID:
            raise Invalid("never")
        await session.execute(_EFFECT, {"counter": event.workspace_id, "version": event.version})
        if seconds:
            await session.execute(_TAKE_LONG, {"seconds": seconds})

    return write_down
