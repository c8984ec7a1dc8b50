"""Is it ready? One short question per process; an answer of any other kind means no."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from penguinmails import postgres
from penguinmails.credentials import SERVICES

Probe = Callable[[int], Awaitable[bool]]
"""Takes the pid of the process."""

PATIENCE = 2.0


def accepts(port: int) -> Probe:
    async def probe(_pid: int) -> bool:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), PATIENCE)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    return probe


def answers(port: int, path: str) -> Probe:
    async def probe(_pid: int) -> bool:
        return (await get(port, path))[0] == 200

    return probe


def postgres_ready(data: Path) -> Probe:
    async def probe(pid: int) -> bool:
        return postgres.is_ready(data, pid)

    return probe


def kafka_ready(port: int) -> Probe:
    """The broker is part of its cluster again, and every partition it has can be written.

    Its port opens well before that.
    """
    listens = accepts(port)

    async def probe(pid: int) -> bool:
        return await listens(pid) and await _all_led(f"127.0.0.1:{port}")

    return probe


async def _all_led(bootstrap: str) -> bool:
    # Imported here: only one kind of broker is asked, and the supervisor must stay small.
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(PATIENCE * 1000))
    try:
        async with asyncio.timeout(PATIENCE):
            await admin.start()
            brokers = (await admin.describe_cluster())["brokers"]
            topics = await admin.describe_topics()
    except (OSError, TimeoutError, KafkaError):
        return False
    finally:
        await admin.close()
    partitions = [partition for topic in topics for partition in topic["partitions"]]
    return bool(brokers) and not any(partition["error_code"] for partition in partitions)


def gateway_ready(admin_port: int) -> Probe:
    """Envoy has the token keys and at least one healthy instance of each service."""

    async def probe(_pid: int) -> bool:
        status, body = await get(admin_port, "/stats?filter=membership_healthy|jwks_fetch_success")
        counts = {name: int(value) for name, value in re.findall(r"^(\S+): (\d+)$", body, re.MULTILINE)}
        healthy = (counts.get(f"cluster.{service}.membership_healthy", 0) for service in SERVICES)
        keys = (value for name, value in counts.items() if name.endswith("jwks_fetch_success"))
        return status == 200 and all(healthy) and any(keys)

    return probe


async def get(port: int, path: str) -> tuple[int, str]:
    """Status and body of a GET on loopback; status 0 when there was no answer."""
    try:
        return await asyncio.wait_for(_get(port, path), PATIENCE)
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0, ""


async def _get(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.read(1 << 20)).decode(errors="replace")
        while chunk := await reader.read(1 << 20):
            answer += chunk.decode(errors="replace")
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body
