"""Events too large for the broker, and what operators do about them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from libs.common.tests.backbone import Databases, published, running, until, update, write
from libs.common.tests.desk import Desk
from libs.common.tests.test_backbone import outbox_holds

from common.bus.kafka import Cluster
from common.bus.relay import Relay
from common.contracts.workspaces import WorkspaceUpdated
from common.db.session import Database
from common.ids import PLATFORM_TENANT, Kind, new_id, to_text
from common.settings import ServiceSettings


class Parking:
    """A tenant with an event that is parked, and one that waits behind it."""

    def __init__(self, connection: asyncpg.Connection, desk: Desk, folder: Path) -> None:
        self.connection, self.desk, self._folder = connection, desk, folder
        self.tenant, self.workspace = new_id(), new_id()
        self.event = WorkspaceUpdated(
            tenant_id=self.tenant, workspace_id=self.workspace, version=1, name="x" * 1_500_000, slug="s"
        )
        self.event_id = ""

    async def is_there(self) -> bool:
        """Whether it is parked: that is noted after the others of its batch are confirmed."""
        found: UUID | None = await self.connection.fetchval(
            "SELECT event_id FROM tenancy.outbox WHERE tenant_id = $1 AND parked_at IS NOT NULL", self.tenant
        )
        self.event_id = to_text(Kind.EVENT, found) if found else ""
        return found is not None

    async def listed(self) -> dict[str, Any]:
        (found,) = [row for row in await self.desk.says("parked", "list") if row["event_id"] == self.event_id]
        return found

    async def payload(self, **changes: Any) -> str:
        """A file with the event's payload, changed."""
        text = await self.connection.fetchval(
            "SELECT data FROM tenancy.outbox WHERE tenant_id = $1 AND parked_at IS NOT NULL", self.tenant
        )
        path = self._folder / "payload.json"
        path.write_text(json.dumps({**json.loads(text), **changes}))
        return str(path)

    async def told(self) -> list[tuple[str, dict[str, Any]]]:
        """What was told of operators, in the outbox or in the history: action and facts."""
        rows = await self.connection.fetch(
            "SELECT type, data FROM tenancy.outbox WHERE tenant_id = $1 AND type LIKE '%.Parked%' UNION ALL "
            "SELECT type, data FROM tenancy.outbox_history WHERE tenant_id = $1 AND type LIKE '%.Parked%'",
            self.tenant,
        )
        return [(row["type"].split(".")[1], json.loads(row["data"])) for row in rows]


@pytest.fixture
async def parking(
    database: Database,
    settings: ServiceSettings,
    cluster: Cluster,
    service_database: Databases,
    desk: Desk,
    tmp_path: Path,
) -> AsyncIterator[Parking]:
    made = await service_database("workspaces")
    connection = await asyncpg.connect(made.superuser_url)
    parking = Parking(connection, desk, tmp_path)
    tenant, workspace = parking.tenant, parking.workspace
    await write(database, tenant, parking.event, update(tenant, workspace, 2))
    async with running(Relay("workspaces", settings, cluster, database.events_written).run()):
        await write(database, tenant, update(tenant, new_id(), 1))
        await published(settings, tenant, 1)
        await outbox_holds(made, tenant, 2)
        await until(parking.is_there)
    yield parking
    await connection.execute("DELETE FROM tenancy.outbox WHERE tenant_id = $1", tenant)
    await connection.close()


async def test_a_parked_event_is_listed_and_shown_and_both_are_recorded(parking: Parking) -> None:
    listed = await parking.listed()
    assert listed["bytes"] > 1_500_000
    assert (listed["waiting"], listed["tenant_id"]) == (1, to_text(Kind.TENANT, parking.tenant))
    assert "payload" not in listed
    (shown,) = await parking.desk.says("parked", "show", parking.event_id)
    assert json.loads(shown["payload"])["version"] == 1
    assert await parking.desk.reads(PLATFORM_TENANT) == [("events parked list", [])]
    assert await parking.desk.reads(parking.tenant) == [("events parked show", [parking.event_id])]


async def test_a_shorter_payload_goes_out_under_the_same_id_and_number_before_what_waited(
    parking: Parking, database: Database, settings: ServiceSettings, cluster: Cluster
) -> None:
    number = (await parking.listed())["sequence"]
    shorter = await parking.payload(name="short")
    words = ("parked", "retry", parking.event_id, "--data", shorter)
    (tried,) = await parking.desk.says(*words, "--dry-run")
    assert tried["dry_run"]
    assert (await parking.listed())["bytes"] > 1_500_000, "a dry run changes nothing"
    assert await parking.told() == []
    await parking.desk.says(*words)
    async with running(Relay("workspaces", settings, cluster, database.events_written).run()):
        envelopes = await published(settings, parking.tenant, 3)
    first, second = [one for one in envelopes if one.subject == parking.event.subject]
    assert (to_text(Kind.EVENT, first.event_id), first.sequence) == (parking.event_id, number)
    assert [json.loads(one.data)["name"] for one in (first, second)] == ["short", "v2"]
    ((action, facts),) = await parking.told()
    assert (action, facts["shortened"]) == ("ParkedEventRetried", True)
    assert facts["meta"]["actor"] == {"type": "operator", "id": parking.desk.by}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (None, "bytes"),
        ({"name": "y" * 1_200_000}, "bytes"),
        ({"name": "short", "version": 2}, "must stay"),
        ({"name": "short", "workspace_id": to_text(Kind.WORKSPACE, new_id())}, "must stay"),
        ({"name": "short", "tenant_id": to_text(Kind.TENANT, new_id())}, "must stay"),
        ({"name": "short", "meta": {"actor": {"type": "system"}}}, "must stay"),
        ({"name": "short", "colour": "red"}, "breaks the contract"),
    ],
    ids=["as it is", "still too large", "version", "subject", "tenant", "meta", "contract"],
)
async def test_what_would_park_again_or_say_something_else_is_refused(
    parking: Parking, changes: dict[str, Any] | None, why: str
) -> None:
    data = ["--data", await parking.payload(**changes)] if changes is not None else []
    assert why in await parking.desk.refuses("parked", "retry", parking.event_id, *data)
    assert (await parking.listed())["bytes"] > 1_500_000
    assert await parking.told() == []


async def test_a_dropped_event_lets_go_what_waits(
    parking: Parking, database: Database, settings: ServiceSettings, cluster: Cluster
) -> None:
    words = ("parked", "drop", parking.event_id, "--reason", "a bug's")
    await parking.desk.says(*words, "--dry-run")
    assert (await parking.listed())["waiting"] == 1
    await parking.desk.says(*words)
    async with running(Relay("workspaces", settings, cluster, database.events_written).run()):
        envelopes = await published(settings, parking.tenant, 2)
    assert [json.loads(one.data)["name"] for one in envelopes if one.subject == parking.event.subject] == [
        "v2"
    ]
    ((action, facts),) = await parking.told()
    assert (action, facts["reason"]) == ("ParkedEventDropped", "a bug's")
    assert await parking.desk.says("parked", "drop", parking.event_id, "--reason", "again") == []
