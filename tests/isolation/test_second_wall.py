"""The queries keep tenants apart by themselves: the applications work as a superuser, whom no policy binds.

Below them row-level security does the same; each of the two walls stands without the other.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import uuid4

import pytest

from common.context import SystemContext
from common.db.idempotency import Answer, KeyedRequest
from common.testing.databases import ServiceDatabase
from common.testing.harness import Harness, harness
from tests.isolation.calls import Calls, bytes_of, nobodys
from tests.isolation.installation import World
from tests.isolation.resources import never
from tests.isolation.routes import ROUTES, Route
from tests.isolation.services import ENVIRONMENT, service_of
from tests.isolation.targets import InProcess
from tests.isolation.test_routes import NAMING_IN_BODY, NAMING_IN_PATH

LISTS = [route for route in ROUTES if "limit" in route.query]


@dataclass(frozen=True, slots=True)
class Unwalled(ServiceDatabase):
    """A service's database, seen as somebody whom no policy binds."""

    @property
    def app_url(self) -> str:
        return self.superuser_url


@pytest.fixture(scope="session")
async def unwalled(worlds: Callable[[str], Awaitable[World]]) -> AsyncIterator[Calls]:
    """The applications over the same databases, as a superuser."""
    made: dict[str, Harness] = {}
    async with AsyncExitStack() as exits:

        async def make(name: str) -> Harness:
            if name not in made:
                known = (await worlds(name)).database
                database = Unwalled(known.server, known.service, known.name, known.tenancy_key)
                environment = {
                    **ENVIRONMENT.get(name, {}),
                    **({"ingest_database_url": known.ingest_url} if name == "audit" else {}),
                }
                made[name] = await exits.enter_async_context(harness(service_of(name), database, environment))
            return made[name]

        yield Calls(InProcess(make), ROUTES)


async def test_no_policy_binds_here(unwalled: Calls) -> None:
    """Without this the rest proves nothing: plain SQL shows rows of more than one tenant."""
    mine, _ = await unwalled.pair("campaigns")
    database = unwalled.target.harness("campaigns").kernel.database  # type: ignore[attr-defined]
    context = SystemContext(unwalled.target.tenant(mine).tenant_id, "job", "campaigns")  # type: ignore[attr-defined]
    async with database.tenant(context) as session:
        connection = await session.connection()
        found = await connection.exec_driver_sql("SELECT count(DISTINCT tenant_id) FROM tenancy.members")
        assert found.scalar_one() > 1


@pytest.mark.parametrize(("route", "name"), NAMING_IN_PATH, ids=str)
async def test_foreign_id_in_the_path_is_not_found(unwalled: Calls, route: Route, name: str) -> None:
    mine, theirs = await unwalled.pair(route.service)
    own = await unwalled.ids_of(route, mine)
    foreign = await unwalled.ids_of(route, theirs)
    before = await unwalled.look(route, theirs, foreign)
    answers = [
        await unwalled.ask(route, mine, {**own, name: value})
        for value in (foreign[name], nobodys(route)[name])
    ]
    assert answers[0].status_code == 404, answers[0].text
    assert bytes_of(answers[0]) == bytes_of(answers[1])
    assert await unwalled.look(route, theirs, foreign) == before


@pytest.mark.parametrize(("route", "name"), NAMING_IN_BODY, ids=str)
async def test_foreign_id_in_the_body_is_not_found(unwalled: Calls, route: Route, name: str) -> None:
    mine, theirs = await unwalled.pair(route.service)
    kind = route.body_ids[name]
    ids = await unwalled.ids_of(route, mine)
    foreign = await unwalled.make(route.service, theirs, kind)
    answers = [
        await unwalled.ask(route, mine, ids, body=route.name_in_body(name, value))
        for value in (foreign, never(kind))
    ]
    assert answers[0].status_code == 404, answers[0].text
    assert bytes_of(answers[0]) == bytes_of(answers[1])


@pytest.mark.parametrize("route", LISTS, ids=str)
async def test_lists_hold_own_rows_only(unwalled: Calls, route: Route) -> None:
    """Two tenants' lists have no row in common."""
    pages: list[set[str]] = []
    for party in await unwalled.pair(route.service):
        answer = await unwalled.ask(route, party, await unwalled.ids_of(route, party), params={"limit": 100})
        assert answer.is_success, answer.text
        pages.append({str(row) for row in answer.json()["data"]})
    assert not pages[0] & pages[1]


async def test_stored_answers_are_found_by_their_owner_only(unwalled: Calls) -> None:
    parties = await unwalled.pair("campaigns")
    database = unwalled.target.harness("campaigns").kernel.database  # type: ignore[attr-defined]
    contexts = [
        SystemContext(unwalled.target.tenant(party).tenant_id, "job", "campaigns")  # type: ignore[attr-defined]
        for party in parties
    ]
    keyed = KeyedRequest.of("somebody", "/route", str(uuid4()), b"request")
    async with database.tenant(contexts[1]) as session:
        await keyed.store(session, Answer(201, {}, b"theirs"))
        await session.commit()
    async with database.tenant(contexts[0]) as session:
        assert await keyed.find_answer(session) is None
    async with database.tenant(contexts[1]) as session:
        assert await keyed.find_answer(session) == Answer(201, {}, b"theirs")
