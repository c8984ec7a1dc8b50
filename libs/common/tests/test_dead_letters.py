"""What dies, what waits behind it, and how operators mend it."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from fastapi import FastAPI
from libs.common.tests.backbone import TOPIC, Databases, Handled, running, send, until, update, wrap
from libs.common.tests.desk import Desk
from typer.testing import CliRunner

from common.bus.brake import release
from common.bus.handling import UNREADABLE, Handling
from common.bus.kafka import Cluster
from common.bus.projections import Skippable
from common.bus.redrive import Outcome, Redrive
from common.context import SystemContext
from common.contracts.envelope import Envelope, InvalidEvent
from common.contracts.workspaces import WorkspaceArchived, WorkspaceUpdated
from common.db import dead_letters
from common.db.session import Database
from common.events_cli import events_commands
from common.ids import PLATFORM_TENANT, Kind, new_id, to_text
from common.service import Service
from common.settings import ServiceSettings
from common.testing.harness import Harness

POISON = [RuntimeError("a bug")] * 5
"""What a handler raises until its event is dead."""


class Grave:
    """Dead letters of one consumer, as the superuser sees them."""

    def __init__(self, connection: asyncpg.Connection, consumer: str) -> None:
        self.connection, self._consumer = connection, consumer

    async def letters(self) -> list[tuple[UUID, bool]]:
        """Event ids and whether they wait, in their order."""
        statement = "SELECT event_id, waiting FROM tenancy.dead_letters WHERE consumer = $1 ORDER BY place"
        return [tuple(row) for row in await self.connection.fetch(statement, self._consumer)]  # type: ignore[misc]

    async def until_there_are(self, count: int) -> None:
        async def enough() -> bool:
            return len(await self.letters()) >= count

        await until(enough)

    async def told(self, tenant: UUID) -> list[tuple[str, str]]:
        """Audit events of the tenant in the outbox: action and payload."""
        statement = "SELECT type, data FROM tenancy.outbox WHERE tenant_id = $1 AND topic NOT LIKE '%.dlq'"
        return [tuple(row) for row in await self.connection.fetch(statement, tenant)]  # type: ignore[misc]


@pytest.fixture
async def grave(handled: Handled, service_database: Databases) -> AsyncIterator[Grave]:
    made = await service_database("workspaces")
    connection = await asyncpg.connect(made.superuser_url)
    yield Grave(connection, handled.name)
    await connection.close()


def versions(tenant: UUID, workspace: UUID, *numbers: int) -> list[Envelope]:
    return [wrap(update(tenant, workspace, number)) for number in numbers]


async def test_later_events_wait_for_the_dead_one_and_follow_it_in_order_once(
    handled: Handled, settings: ServiceSettings, cluster: Cluster, grave: Grave
) -> None:
    await cluster.current_id()
    tenant, sick, well = new_id(), new_id(), new_id()
    handled.recorder.failures[sick, 1] = list(POISON)
    first = versions(tenant, sick, 1, 2, 3)
    await send(settings, *first, *versions(tenant, well, 1, 2))
    async with running(handled.consumer().run()):
        await grave.until_there_are(3)
        await until(lambda: _reached(handled, well, 2))
    assert handled.effects_of(sick) == []
    later = versions(tenant, sick, 4)
    await send(settings, *first, *later)  # after a restart, with a second delivery of everything
    async with running(handled.consumer().run()):
        await grave.until_there_are(4)
    ids = [envelope.event_id for envelope in (*first, *later)]
    assert await grave.letters() == [(ids[0], False), *((event_id, True) for event_id in ids[1:])]
    redrive = Redrive(handled.handling(), "olga")
    assert (await redrive.retry(tenant, ids[2])).result == "waits"
    assert await redrive.retry(tenant, ids[0]) == Outcome("applied", followed=3)
    assert await redrive.retry(tenant, ids[0]) == Outcome("gone")
    assert handled.effects_of(sick) == [1, 2, 3, 4]
    await send(settings, *first, *later, *versions(tenant, sick, 5))
    async with running(handled.consumer().run()):
        await until(lambda: _reached(handled, sick, 5))
    assert handled.effects_of(sick) == [1, 2, 3, 4, 5]
    assert await grave.letters() == []


async def _reached(handled: Handled, workspace: UUID, version: int) -> bool:
    return version in handled.effects_of(workspace)


async def test_events_that_arrive_during_the_redrive_keep_their_place(
    handled: Handled, settings: ServiceSettings, cluster: Cluster, grave: Grave
) -> None:
    await cluster.current_id()
    tenant, sick = new_id(), new_id()
    handled.recorder.failures[sick, 1] = list(POISON)
    events = versions(tenant, sick, *range(1, 101))
    redrive = Redrive(handled.handling(), "olga")
    async with running(handled.consumer().run()):
        await send(settings, *events[:20])
        await grave.until_there_are(10)
        _, outcome = await asyncio.gather(
            send(settings, *events[20:]), redrive.retry(tenant, events[0].event_id)
        )
        await until(lambda: _reached(handled, sick, 100))
    assert outcome.result == "applied"
    assert handled.effects_of(sick) == list(range(1, 101))
    assert await grave.letters() == []


async def test_what_was_handled_does_not_die_of_a_newer_contract(handled: Handled, grave: Grave) -> None:
    """A history that is published again has events of the release before."""
    (event,) = versions(new_id(), new_id(), 1)
    handling = handled.handling()
    await handling.apply(TOPIC, event)
    with pytest.raises(InvalidEvent):
        await handling.apply(TOPIC, replace(event, data=b"{}"))
    assert not await handling.bury(TOPIC, replace(event, data=b"{}"), InvalidEvent("older"), 5)
    assert await grave.letters() == []


async def test_a_skippable_handlers_dead_letter_holds_nobody_up(
    handled: Handled, settings: ServiceSettings, cluster: Cluster, grave: Grave
) -> None:
    await cluster.current_id()
    handled.handlers[WorkspaceUpdated] = Skippable(handled.recorder.handle)
    tenant, sick = new_id(), new_id()
    handled.recorder.failures[sick, 1] = list(POISON)
    events = versions(tenant, sick, 1, 2)
    await send(settings, *events)
    async with running(handled.consumer().run()):
        await until(lambda: _reached(handled, sick, 2))
    assert await grave.letters() == [(events[0].event_id, False)]
    assert await Redrive(handled.handling(), "olga").retry(tenant, events[0].event_id) == Outcome("applied")
    assert handled.effects_of(sick) == [2, 1]


async def test_what_is_projected_cannot_be_skippable(database: Database, handled: Handled) -> None:
    with pytest.raises(TypeError, match="must wait"):
        Handling("any", database, {WorkspaceArchived: Skippable(handled.recorder.handle)})


async def test_a_retry_that_fails_changes_nothing_but_the_count_and_is_audited(
    handled: Handled, settings: ServiceSettings, cluster: Cluster, grave: Grave
) -> None:
    await cluster.current_id()
    tenant, sick = new_id(), new_id()
    handled.recorder.failures[sick, 1] = [*POISON, ValueError("still a bug")]
    handled.recorder.failures[sick, 2] = [ValueError("another bug")]
    events = versions(tenant, sick, 1, 2, 3)
    await send(settings, *events)
    async with running(handled.consumer().run()):
        await grave.until_there_are(3)
    redrive = Redrive(handled.handling(), "olga")
    assert await redrive.retry(tenant, events[0].event_id) == Outcome("failed", error="ValueError")
    assert len(await grave.letters()) == 3
    assert await redrive.retry(tenant, events[0].event_id) == Outcome("applied")
    second, third = await grave.letters()
    assert second == (events[1].event_id, False), "what waited died itself when its turn came"
    assert third == (events[2].event_id, True)
    assert await redrive.retry(tenant, events[1].event_id) == Outcome("applied", followed=1)
    assert handled.effects_of(sick) == [1, 2, 3]
    told = await grave.told(tenant)
    assert [kind for kind, _ in told] == ["penguinmails.DeadLetterRetried.v1"] * 3
    assert all('"type":"operator","id":"olga"' in data for _, data in told)
    assert '"error":"ValueError"' in told[0][1]


async def test_an_event_that_cannot_even_be_buried_leaves_a_stand_in(
    handled: Handled,
    settings: ServiceSettings,
    cluster: Cluster,
    grave: Grave,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await cluster.current_id()
    tenant, sick, later = new_id(), new_id(), new_id()
    handled.recorder.failures[sick, 1] = list(POISON)
    bury = Handling.bury

    async def fail(self: Handling, topic: str, envelope: Envelope, *rest: Any) -> bool:
        if envelope.type != UNREADABLE:
            raise OverflowError("no such row")
        return await bury(self, topic, envelope, *rest)

    monkeypatch.setattr(Handling, "bury", fail)
    poison = wrap(update(tenant, sick, 1))
    await send(settings, poison, wrap(update(new_id(), later, 1)))
    async with running(handled.consumer().run()):
        await grave.until_there_are(1)
        await until(lambda: _reached(handled, later, 1))
    statement = "SELECT tenant_id, type, reason, envelope FROM tenancy.dead_letters WHERE consumer = $1"
    (letter,) = await grave.connection.fetch(statement, handled.name)
    assert (letter["tenant_id"], letter["type"]) == (PLATFORM_TENANT, UNREADABLE)
    assert b64decode(json.loads(letter["envelope"])["data"]) == poison.data


async def test_a_dropped_letter_stays_without_effect_and_the_rest_follows(
    handled: Handled, settings: ServiceSettings, cluster: Cluster, grave: Grave
) -> None:
    await cluster.current_id()
    tenant, sick = new_id(), new_id()
    handled.recorder.failures[sick, 1] = list(POISON)
    events = versions(tenant, sick, 1, 2)
    await send(settings, *events)
    async with running(handled.consumer().run()):
        await grave.until_there_are(2)
    redrive = Redrive(handled.handling(), "olga")
    assert await redrive.drop(tenant, events[0].event_id, "never mind") == Outcome("dropped", followed=1)
    assert handled.effects_of(sick) == [2]
    ((kind, data),) = await grave.told(tenant)
    assert kind == "penguinmails.DeadLetterDropped.v1"
    assert '"reason":"never mind"' in data


async def test_too_many_dead_letters_stop_the_consumer_until_an_operator_says_so(
    handled: Handled,
    settings: ServiceSettings,
    cluster: Cluster,
    grave: Grave,
    api: type[Harness],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await cluster.current_id()
    harness: Harness = await api("workspaces")  # type: ignore[call-arg, misc]
    sick = [new_id() for _ in range(40)]
    for workspace in sick:
        handled.recorder.failures[workspace, 1] = list(POISON)
    await send(settings, *(wrap(update(new_id(), workspace, 1)) for workspace in sick))

    async def ready(status: int) -> bool:
        answer = await harness.client.get("/health/ready")
        named = answer.json()["checks"].get(f"consumer {handled.name}")
        serving = await harness.client.get("/health/serving")
        assert serving.status_code == 200, "the API is taken from nobody"
        return answer.status_code == status and named is (False if status == 503 else None)

    late = new_id()
    async with running(handled.consumer(limit=3).run()):
        await until(lambda: ready(503))
        await send(settings, wrap(update(new_id(), late, 1)))
        assert any("dlq retry" in record.message for record in caplog.records)
        for failures in handled.recorder.failures.values():
            failures.clear()  # the bug is mended
        assert await _stays_away(handled, late)
    async with running(handled.consumer(limit=3).run()):
        assert await _stays_away(handled, late), "nor does a replica that is started handle anything"
        await release(grave.connection, handled.name)
        await until(lambda: ready(200))
        await until(lambda: _reached(handled, late, 1))

        async def all_settled() -> bool:
            return len(handled.recorder.effects) - 1 == len(sick) - len(await grave.letters())

        await until(all_settled)
    assert 3 < len(await grave.letters()) <= 3 + 8, "what was in flight may still die"
    assert all(handled.effects_of(workspace) in ([], [1]) for workspace in sick)


async def _stays_away(handled: Handled, workspace: UUID) -> bool:
    """Whether the event is not handled within a second, several times what it needs."""
    with pytest.raises(TimeoutError):
        await until(lambda: _reached(handled, workspace, 1), within=1)
    return True


async def reads(grave: Grave, tenant: UUID) -> list[tuple[str, str, list[str]]]:
    """Reads in the tenant's outbox: by whom, with which command, and of what."""
    told = [json.loads(data) for kind, data in await grave.told(tenant) if ".AccessRecorded." in kind]
    return [
        (one["actor"]["id"], one["request"]["route"], [target["id"] for target in one["targets"]])
        for event in told
        for one in event["records"]
    ]


async def test_operators_who_read_dead_letters_are_recorded(
    handled: Handled, settings: ServiceSettings, grave: Grave, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, neighbour = new_id(), new_id()
    (letter,) = versions(tenant, new_id(), 1)
    async with handled.handling().database.tenant(SystemContext(tenant, "event", handled.name)) as session:
        await dead_letters.bury(session, handled.name, TOPIC, letter, "ValueError", 5)
        await session.commit()
    monkeypatch.setattr("common.events_cli.from_environment", lambda _: settings)
    service = Service("workspaces", ServiceSettings, lambda _: FastAPI(), Path())
    by, event = new_id().hex, to_text(Kind.EVENT, letter.event_id)

    async def say(*words: str, status: int = 0) -> str:
        asked = [*words, "--by", by]
        result = await asyncio.to_thread(CliRunner().invoke, events_commands(service), asked)
        assert result.exit_code == status, result.output
        return result.stdout

    assert event in await say("dlq", "list")
    assert [read for read in await reads(grave, PLATFORM_TENANT) if read[0] == by] == [
        (by, "events dlq list", [])
    ]
    assert await reads(grave, tenant) == [], "whose letters a list shows does not say"
    assert '"name":"v1"' in json.loads(await say("dlq", "show", event))["payload"]
    assert await reads(grave, tenant) == [(by, "events dlq show", [event])]
    assert await reads(grave, neighbour) == []
    unknown = to_text(Kind.EVENT, new_id())
    for words in (("show",), ("retry",), ("drop", "--reason", "none")):
        assert await say("dlq", *words, unknown, status=2) == ""
        assert await say("dlq", *words, unknown, "--if-there") == ""


async def test_an_id_that_two_tenants_have_is_nobodys_until_one_is_named(
    handled: Handled, grave: Grave, desk: Desk
) -> None:
    """Our ids are unique; what strangers write to a topic may bear any."""
    ours, theirs = new_id(), new_id()
    (letter,) = versions(ours, new_id(), 1)
    for tenant in (ours, theirs):
        async with handled.handling().database.tenant(
            SystemContext(tenant, "event", handled.name)
        ) as session:
            await dead_letters.bury(session, handled.name, TOPIC, letter, "ValueError", 5)
            await session.commit()
    event = to_text(Kind.EVENT, letter.event_id)
    for words in (("show", event), ("retry", event), ("drop", event, "--reason", "none")):
        assert to_text(Kind.TENANT, theirs) in await desk.refuses("dlq", *words)
    assert await grave.told(ours) == await grave.told(theirs) == []
    named = ("--tenant", to_text(Kind.TENANT, ours))
    (shown,) = await desk.says("dlq", "show", event, *named)
    assert shown["tenant_id"] == named[1]
    assert await desk.reads(theirs) == []
