"""The connection that holds an office: it falls soon after its owner's last word, whatever is under way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from libs.common.tests.backbone import until

from common.bus import ownership
from common.bus.ownership import connect_owner, heard
from common.settings import ServiceSettings

_LOCK = 4711
_SILENCE = 1.0
_MORE_THAN_SOCKETS_HOLD = "SELECT repeat('x', 1000000) FROM generate_series(1, 100)"

Held = Callable[[], Awaitable[bool]]


@pytest.fixture
async def owner(settings: ServiceSettings) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_owner(settings.relay_database_url, _SILENCE)
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    yield connection
    connection.terminate()


@pytest.fixture
async def fallen(settings: ServiceSettings) -> AsyncIterator[Held]:
    """Whether the owner's lock is free."""
    connection = await asyncpg.connect(settings.relay_database_url)

    async def is_free() -> bool:
        free = bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK))
        if free:
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
        return free

    yield is_free
    await connection.close()


async def test_an_owner_that_says_nothing_loses_its_locks(owner: asyncpg.Connection, fallen: Held) -> None:
    assert not await fallen()
    await until(fallen, within=_SILENCE + 2)


async def stopped(owner: asyncpg.Connection, work: Awaitable[object], fallen: Held, within: float) -> None:
    """Have the owner read nothing from now on; its lock falls all the same."""
    inside: Any = owner
    inside._transport.pause_reading()
    working = asyncio.ensure_future(work)
    try:
        await until(fallen, within)
    finally:
        inside._transport.resume_reading()
        await asyncio.wait([working])
        working.exception()


async def test_an_owner_that_takes_no_answer_loses_its_locks(owner: asyncpg.Connection, fallen: Held) -> None:
    """Stopped while many events are on their way to it: the database is not idle then, but waits for it."""
    statement = await owner.prepare(_MORE_THAN_SOCKETS_HOLD)
    await stopped(owner, statement.fetch(), fallen, within=_SILENCE * 2 + 4)


async def test_an_owner_that_has_said_half_a_statement_loses_its_locks(
    settings: ServiceSettings, fallen: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between the parsing of a statement and its execution."""
    monkeypatch.setattr(ownership, "_LONGEST", 2.0)
    owner = await connect_owner(settings.relay_database_url, _SILENCE)
    await owner.execute("SELECT pg_advisory_lock($1)", _LOCK)
    await stopped(owner, owner.fetch("SELECT 1"), fallen, within=5)
    owner.terminate()


async def test_an_owner_that_waits_for_something_else_keeps_its_locks(
    owner: asyncpg.Connection, fallen: Held
) -> None:
    loop = asyncio.get_running_loop()
    long_enough = loop.time() + _SILENCE * 2

    async def over() -> bool:
        assert not await fallen()
        return loop.time() > long_enough

    async with heard(owner, _SILENCE):
        await until(over)
