"""Holes in a producer's numbering."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from services.audit.tests.book import Book, read
from typer.testing import CliRunner

from audit.gap import commands
from audit.settings import AuditSettings
from common.ids import new_id


class Numbers:
    """Delivers events of one producer by number, and looks for holes as the upkeep does."""

    def __init__(self, book: Book, tenant_id: UUID, connection: asyncpg.Connection) -> None:
        self._book, self._tenant_id, self._connection = book, tenant_id, connection
        self._suspects: dict[str, str] = {}
        self.source = f"s{new_id().hex}"

    async def arrive(self, numbers: Iterable[int], topic: str = "penguinmails.campaigns") -> None:
        envelopes = [
            self._book.envelope(read(self._tenant_id), self.source, sequence=number) for number in numbers
        ]
        await self._book.take(*(self._book.delivery(envelope, topic) for envelope in envelopes))

    async def look(self) -> list[tuple[str, bool]]:
        """The holes noted so far, and whether each is filled by now."""
        self._suspects = await self._book.upkeep.notice_gaps(self._connection, self._suspects)
        rows = await self._connection.fetch(
            "SELECT missing::text, filled_at IS NOT NULL AS filled FROM audit.gaps "
            "WHERE source = $1 ORDER BY noticed_at",
            self.source,
        )
        return [(row["missing"], row["filled"]) for row in rows]

    async def told(self) -> list[tuple[str, str]]:
        """What was told of gaps that were closed in the producer's name."""
        rows = await self._book.sql.fetch("SELECT data FROM tenancy.outbox WHERE type LIKE '%.GapClosed.%'")
        events = [json.loads(row["data"]) for row in rows]
        return [(event["missing"], event["reason"]) for event in events if event["source"] == self.source]


@pytest.fixture
async def numbers(book: Book, ours: UUID) -> AsyncIterator[Numbers]:
    connection = await asyncpg.connect(book.database.ingest_url)
    yield Numbers(book, ours, connection)
    await connection.close()


async def test_complete_numbers_leave_no_hole_in_whatever_order(numbers: Numbers) -> None:
    await numbers.arrive([3, 1])
    assert await numbers.look() == []
    await numbers.arrive([2, 4, 4, 2])
    assert await numbers.look() == []
    await numbers.arrive([1, 2, 3])
    assert await numbers.look() == []


async def test_a_lasting_hole_is_noted_once_and_closed_by_what_was_late(numbers: Numbers) -> None:
    await numbers.arrive([1, 2, 5, 6, 9])
    assert await numbers.look() == []
    assert await numbers.look() == [("{[3,5),[7,9)}", False)]
    assert await numbers.look() == [("{[3,5),[7,9)}", False)]
    await numbers.arrive([4, 7, 8])
    assert await numbers.look() == [("{[3,4)}", False)]
    await numbers.arrive([3])
    assert await numbers.look() == [("{}", True)]
    assert await numbers.look() == [("{}", True)]


async def test_a_second_hole_is_noted_for_itself(numbers: Numbers) -> None:
    await numbers.arrive([2])
    await numbers.look()
    await numbers.arrive([2, 4])
    assert await numbers.look() == [("{[1,2)}", False)]
    assert await numbers.look() == [("{[1,2)}", False), ("{[3,4)}", False)]


async def test_dead_letters_and_quarantined_records_have_arrived(
    book: Book, ours: UUID, numbers: Numbers
) -> None:
    await numbers.arrive([1, 3])
    await numbers.arrive([2], topic="penguinmails.campaigns.dlq")
    assert len(await book.lines(ours)) == 2
    broken = book.envelope(read(ours), numbers.source, sequence=4, data=b"{}")
    await book.take(book.delivery(broken))
    await numbers.arrive([5])
    await numbers.look()
    assert await numbers.look() == []


async def test_a_gap_that_an_operator_closes_is_counted_no_more_and_filled_all_the_same(
    numbers: Numbers, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = book.database
    settings = AuditSettings(
        database_url=made.app_url,
        relay_database_url=made.relay_url,
        ingest_database_url=made.ingest_url,
        tenancy_key=made.tenancy_key,  # type: ignore[arg-type]
        link_secret="00" * 32,  # type: ignore[arg-type]
        kafka_bootstrap_servers="nowhere",
    )
    monkeypatch.setattr(commands, "from_environment", lambda _: settings)
    await numbers.arrive([1, 4, 6])
    await numbers.look()
    await numbers.look()

    async def say(*words: str) -> list[dict[str, Any]]:
        asked = [*words, "--by", numbers.source]
        result = await asyncio.to_thread(CliRunner().invoke, commands.commands, asked)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    async def listed() -> list[dict[str, Any]]:
        return [gap for gap in await say("list") if gap["source"] == numbers.source]

    (gap,) = await listed()
    assert gap["numbers"] == ["2-3", "5-5"]
    words = ("close", gap["gap_id"], "--reason", "dropped at its service")
    await say(*words, "--dry-run")
    assert await listed() == [gap]
    await say(*words)
    assert await listed() == []
    assert await numbers.look() == [("{[2,4),[5,6)}", False)], "it is not noted anew"
    assert await numbers.told() == [("{[2,4),[5,6)}", "dropped at its service")]
    await numbers.arrive([2, 3, 5])
    assert await numbers.look() == [("{}", True)]
