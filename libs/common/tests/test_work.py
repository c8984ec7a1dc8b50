"""The loop of workers: when it looks whether something is due."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.tests.backbone import running, until, update, write

from common.db.session import Database, TenantSession
from common.ids import new_id
from common.work import Rounds

NEVER = 3600.0


class Desk:
    """Work that counts how often it was looked for, and says what it was told to."""

    def __init__(self, database: Database, idle_poll: float) -> None:
        self.looks = 0
        self.due: list[UUID] = []
        self.done: list[UUID] = []
        tasks = (self._list_due, self._attempt)
        self.rounds = Rounds("tests", "workspaces", database, *tasks, 1, poll=0.01, idle_poll=idle_poll)

    async def _list_due(self, _session: TenantSession, _most: int) -> Sequence[UUID]:
        self.looks += 1
        due, self.due = self.due, []
        return due

    async def _attempt(self, tenant_id: UUID) -> None:
        self.done.append(tenant_id)

    async def has_done(self, tenant_id: UUID) -> bool:
        return tenant_id in self.done

    async def has_looked(self, times: int) -> bool:
        return self.looks >= times


async def test_what_comes_with_an_event_is_done_at_once(database: Database) -> None:
    desk, tenant = Desk(database, NEVER), new_id()
    async with running(desk.rounds.run()):
        await until(lambda: desk.has_looked(1))
        desk.due = [tenant]
        await write(database, tenant, update(tenant, new_id(), 1))
        await until(lambda: desk.has_done(tenant))
    assert desk.done == [tenant]


async def test_what_comes_without_one_is_found_by_looking(database: Database) -> None:
    desk = Desk(database, 0.02)
    async with running(desk.rounds.run()):
        await until(lambda: desk.has_looked(3))


async def test_after_work_it_looks_again_soon(database: Database) -> None:
    desk, tenant = Desk(database, NEVER), new_id()
    desk.due = [tenant]
    async with running(desk.rounds.run()):
        await until(lambda: desk.has_looked(2))
    assert desk.done == [tenant]
