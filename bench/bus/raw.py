"""What a bare Kafka client can do with the same records: aiokafka, and confluent-kafka (librdkafka)."""

import asyncio
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer
from tests.faults.bus import ledger

from common.contracts.envelope import Envelope

Record = tuple[bytes, bytes, list[tuple[str, bytes]]]
CLIENTS = ("aiokafka", "confluent-kafka")
_LINGER_MS = 5
_BATCH_BYTES = 1_000_000


def records(envelopes: Sequence[Envelope]) -> list[Record]:
    """Key, value and headers of each."""
    return [(one.key, one.data, one.headers()) for one in envelopes]


def open_aiokafka(address: str, linger_ms: int = _LINGER_MS) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=address, acks="all", linger_ms=linger_ms, max_batch_size=_BATCH_BYTES
    )


def open_confluent(address: str, linger_ms: int = _LINGER_MS) -> Producer:
    return Producer(
        {
            "bootstrap.servers": address,
            "acks": "all",
            "partitioner": "murmur2_random",  # as all the others choose
            "linger.ms": linger_ms,
            "batch.size": _BATCH_BYTES,
            "queue.buffering.max.messages": 1_000_000,
        }
    )


async def write(client: str, address: str, made: Sequence[Record]) -> float:
    """Write all of them; records per second until the last acknowledgement."""
    if client == "aiokafka":
        return await _write_aiokafka(address, made)
    return await asyncio.to_thread(_write_confluent, address, made)


async def _write_aiokafka(address: str, made: Sequence[Record]) -> float:
    async with open_aiokafka(address) as producer:
        await producer.partitions_for(ledger.TOPIC)
        began = time.monotonic()
        sent = [
            await producer.send(ledger.TOPIC, value, key=key, headers=headers) for key, value, headers in made
        ]
        await asyncio.gather(*sent)
        return len(made) / (time.monotonic() - began)


def _write_confluent(address: str, made: Sequence[Record]) -> float:
    producer = open_confluent(address)
    producer.list_topics(ledger.TOPIC)
    began = time.monotonic()
    for key, value, headers in made:
        producer.produce(ledger.TOPIC, value, key, headers=list(headers))
        producer.poll(0)
    if producer.flush(60):
        raise RuntimeError("the broker did not take all records")
    return len(made) / (time.monotonic() - began)
