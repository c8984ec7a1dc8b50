"""Records of strangers, which no client of ours could write."""

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from libs.common.tests.backbone import TOPIC, Databases, Handled, running, send, until, update, wrap
from tests.faults.bus.ledger import place

from common.contracts.envelope import Envelope, tenant_key
from common.ids import new_id
from common.settings import ServiceSettings

NOT_UTF8 = b"ce_\xff\xfe"


class _Name(str):
    """A header's name that is other bytes on the wire."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:  # type: ignore[override]
        return NOT_UTF8


async def send_strange(settings: ServiceSettings, envelopes: list[Envelope], strange: int) -> None:
    """The envelopes in one batch; one of them has a header more, whose name is not UTF-8."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
    await producer.start()
    try:
        batch: BatchBuilder = producer.create_batch()
        batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 1_000_000)
        batch._builder.set_producer_state(-1, -1, -1)
        for number, one in enumerate(envelopes):
            more = [(_Name("strange"), b"x")] if number == strange else []
            batch.append(timestamp=None, key=one.key, value=one.data, headers=[*one.headers(), *more])
        batch.close()
        await (await producer.send_batch(batch, TOPIC, partition=place(envelopes[0].tenant_id)))
    finally:
        await producer.stop()


async def test_a_header_whose_name_is_not_utf8_stops_nobody(
    handled: Handled, settings: ServiceSettings, service_database: Databases
) -> None:
    """Neither the records of its own batch, before it and after it, nor what others write later."""
    tenant, workspace = new_id(), new_id()
    strange = [wrap(update(tenant, workspace, number)) for number in (1, 2, 3)]
    await send_strange(settings, strange, strange=1)
    await send(settings, wrap(update(tenant, workspace, 4)))

    async def all_handled() -> bool:
        return handled.effects_of(workspace) == [1, 2, 3, 4]

    async with running(handled.consumer().run()):
        await until(all_handled)


async def test_a_strange_header_is_no_key_to_the_envelope(
    handled: Handled, settings: ServiceSettings, service_database: Databases
) -> None:
    """A record that is no event otherwise is a dead letter as any other is."""
    tenant, workspace = new_id(), new_id()
    broken = wrap(update(tenant, workspace, 1), data=b"{}")
    await send_strange(settings, [broken], strange=0)
    await send(settings, wrap(update(tenant, workspace, 2)))
    connection = await asyncpg.connect((await service_database("workspaces")).superuser_url)

    async def buried() -> bool:
        letters = "SELECT count(*) FROM tenancy.dead_letters WHERE tenant_id = $1"
        return await connection.fetchval(letters, tenant) == 1 and handled.effects_of(workspace) == [2]

    async with running(handled.consumer().run()):
        await until(buried)
    await connection.close()
    assert tenant_key(tenant).encode() == broken.key
