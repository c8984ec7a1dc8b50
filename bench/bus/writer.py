"""Writes events into the outbox as a hot route does: one message to the database, and the relay is woken."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
from tests.faults.bus import ledger

from bench.bus.scene import Scene
from common.contracts.envelope import Envelope
from common.db.proofs import Prover

CONNECTIONS = 4

# What is quoted is ids, JSON of ids and plain words, and traceparents: nothing that has a quote in it.
_TRANSACTION = """
BEGIN;
SELECT tenancy.enter_system('{tenant}', 'job', '\\x{proof}');
INSERT INTO tenancy.outbox (event_id, topic, type, subject, data, traceparent)
VALUES ('{event}', '{topic}', '{type}', '{subject}', '{data}', '{traceparent}');
COMMIT;
"""

Write = Callable[[Envelope], Awaitable[None]]


@asynccontextmanager
async def writing(bus: Scene) -> AsyncGenerator[Write]:
    """A function that has an event committed when it returns. As the app role, in the event's tenant."""
    prover = Prover(bus.settings.tenancy_key.get_secret_value())
    async with asyncpg.create_pool(
        bus.settings.database_url, min_size=CONNECTIONS, max_size=CONNECTIONS
    ) as pool:

        async def write(event: Envelope) -> None:
            async with pool.acquire() as connection:
                proof = prover.system(event.tenant_id, "job", connection.get_server_pid())
                await connection.execute(_statements(event, proof))
            bus.database.events_written.set()

        yield write


def _statements(event: Envelope, proof: bytes) -> str:
    return _TRANSACTION.format(
        tenant=event.tenant_id,
        proof=proof.hex(),
        event=event.event_id,
        topic=ledger.TOPIC,
        type=event.type,
        subject=event.subject,
        data=event.data.decode(),
        traceparent=event.traceparent,
    )
