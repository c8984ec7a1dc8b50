"""Secrets at rest are sealed again with the current key, while everything runs.

A batch is a transaction: new ciphertexts and the event that tells of them. Whoever is killed half way leaves
whole batches, and the next run finds what is left by the header of the ciphertexts.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, select, update
from sqlalchemy.orm import InstrumentedAttribute

from common.bus import outbox
from common.bus.snapshot import list_tenants
from common.context import SystemContext
from common.contracts.envelope import Actor
from common.contracts.operations import SecretsResealed
from common.db.session import Database, TenantSession
from common.ids import PLATFORM_TENANT
from common.sealing import HEADER_BYTES, EncryptionKeys, SealingSettings, Unreadable, sealed_with

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column of secrets, and the column by which its row is known within the tenant."""

    column: InstrumentedAttribute[Any]
    row: InstrumentedAttribute[Any]
    name: Callable[[UUID, Any], str]
    """Under which name the secret of a tenant's row is sealed."""
    of_the_platform: bool = False
    """Whether only the platform's tenant has such rows."""

    @property
    def kind(self) -> str:
        return f"{self.column.class_.__tablename__}.{self.column.key}"


@dataclass(slots=True)
class Resealed:
    """`unreadable`: why each of those does not open that were left as they are."""

    count: int = 0
    unreadable: list[str] = field(default_factory=list[str])


async def count_by_key(
    service: str, database: Database, sealed: Sealed, tenants: Sequence[UUID]
) -> Counter[str]:
    """How many secrets of these tenants each key has sealed, by its id."""
    header = _header(sealed).label("header")
    statement = select(header, func.count()).where(sealed.column.is_not(None)).group_by("header")
    found = Counter[str]()
    for tenant_id in tenants:
        async with database.tenant(SystemContext(tenant_id, "job", service)) as session:
            for beginning, count in (await session.execute(statement)).all():
                found[sealed_with(beginning)] += count
    return found


async def tenants_of(settings: SealingSettings, sealed: Sealed) -> Sequence[UUID]:
    """Who may have such secrets."""
    return [PLATFORM_TENANT] if sealed.of_the_platform else await list_tenants(settings.relay_database_url)


class Resealing:
    """One run over the secrets of a service, in an operator's name."""

    def __init__(self, service: str, database: Database, keys: EncryptionKeys, by: str) -> None:
        self._service, self._database, self._keys = service, database, keys
        self._operator = Actor(type="operator", id=by)

    async def run(self, sealed: Sealed, tenants: Sequence[UUID]) -> AsyncGenerator[Resealed]:
        """Seal again what another key than the current one has sealed; tells what came of each tenant."""
        for tenant_id in tenants:
            yield await self._work_on(sealed, tenant_id)

    async def _work_on(self, sealed: Sealed, tenant_id: UUID) -> Resealed:
        done, after = Resealed(), None
        context = SystemContext(tenant_id, "platform", self._service, on_behalf_of=self._operator)
        while True:
            async with self._database.tenant(context) as session:
                rows = await self._lock_old(session, sealed, after)
                if not rows:
                    return done
                await self._reseal(session, sealed, rows, done)
                await session.commit()
            after = rows[-1][0]

    async def _lock_old(self, session: TenantSession, sealed: Sealed, after: Any) -> Sequence[Row[Any, Any]]:
        """The next rows that the current key has not sealed."""
        statement = (
            select(sealed.row, sealed.column)
            .where(_header(sealed) != self._keys.header)
            .order_by(sealed.row)
            .limit(_BATCH)
            .with_for_update()
        )
        if after is not None:
            statement = statement.where(sealed.row > after)
        return (await session.execute(statement)).all()

    async def _reseal(
        self, session: TenantSession, sealed: Sealed, rows: Sequence[Row[Any, Any]], done: Resealed
    ) -> None:
        opened: dict[Any, bytes] = {}
        for row, secret in rows:
            try:
                opened[row] = self._keys.unseal(secret, sealed.name(session.tenant_id, row))
            except Unreadable as error:
                done.unreadable.append(str(error))
        for row, plain in opened.items():
            again = self._keys.seal(plain, sealed.name(session.tenant_id, row))
            changed = update(sealed.column.class_).where(sealed.row == row)
            await session.execute(changed.values({sealed.column: again}))
        done.count += len(opened)
        if opened:
            event = SecretsResealed(
                tenant_id=session.tenant_id,
                kind=sealed.kind,
                count=len(opened),
                sealed_with=self._keys.current,
            )
            await outbox.emit(session, event)


def _header(sealed: Sealed) -> ColumnElement[bytes]:
    return func.substring(sealed.column, 1, HEADER_BYTES)
