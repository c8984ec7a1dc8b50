"""Tries mutations, a few at a time, and says what became of each."""

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from common.testing.databases import DatabaseServer, clone_database
from tests.isolation.mutations.ground import run_sql
from tests.isolation.mutations.mutation import CodeMutation, Mutation, SchemaMutation, Stale
from tests.isolation.mutations.trial import Inconclusive, Outcome, Place, overlay, run_tests


@dataclass(frozen=True)
class Verdict:
    """`killer`: the test that noticed the mutation. `trouble`: why there is no answer."""

    mutation: Mutation
    seconds: float = 0.0
    killer: str | None = None
    trouble: str | None = None

    @property
    def killed(self) -> bool:
        return self.killer is not None


class Runner:
    """Tries mutations on one server. `templates`: the migrated database of each service."""

    def __init__(
        self,
        server: DatabaseServer,
        templates: dict[str, str],
        at_a_time: int,
        tell: Callable[[Verdict], None],
    ) -> None:
        self._server, self._templates = server, templates
        self._at_a_time, self._tell = at_a_time, tell

    async def run_unmutated(self, groups: Sequence[Sequence[str]]) -> list[Outcome]:
        """The suite as it is, in as many parts as there are groups of test files."""
        place = Place(self._server, self._templates)
        return await asyncio.gather(*(run_tests(place, group) for group in groups))

    async def try_all(self, mutations: Iterable[Mutation]) -> list[Verdict]:
        """A verdict on each; those that touch roles come last, alone."""
        apart: list[Mutation] = []
        beside: asyncio.Queue[Mutation] = asyncio.Queue()
        for mutation in mutations:
            if isinstance(mutation, SchemaMutation) and mutation.undo is not None:
                apart.append(mutation)
            else:
                beside.put_nowait(mutation)
        verdicts: list[Verdict] = []

        async def work() -> None:
            while not beside.empty():
                verdicts.append(await self._try(beside.get_nowait()))

        await asyncio.gather(*(work() for _ in range(self._at_a_time)))
        return verdicts + [await self._try(mutation) for mutation in apart]

    async def _try(self, mutation: Mutation) -> Verdict:
        try:
            if isinstance(mutation, SchemaMutation):
                verdict = await self._try_schema(mutation)
            else:
                verdict = await self._try_code(mutation)
        except (Stale, Inconclusive) as error:
            verdict = Verdict(mutation, trouble=str(error))
        self._tell(verdict)
        return verdict

    async def _try_code(self, mutation: CodeMutation) -> Verdict:
        with tempfile.TemporaryDirectory(prefix="mutation-") as home:
            sources = overlay(mutation, Path(home))
            return await self._judge(mutation, Place(self._server, self._templates, sources))

    async def _try_schema(self, mutation: SchemaMutation) -> Verdict:
        database = await clone_database(self._server, mutation.service, self._templates[mutation.service])
        try:
            connection = await asyncpg.connect(database.superuser_url)
            try:
                await mutation.apply(connection)
            finally:
                await connection.close()
            templates = {**self._templates, mutation.service: database.name}
            return await self._judge(mutation, Place(self._server, templates))
        finally:
            if mutation.undo is not None:
                await run_sql(database.superuser_url, mutation.undo)
            await database.drop()

    async def _judge(self, mutation: Mutation, place: Place) -> Verdict:
        """First the tests that should notice it, then, before it counts as a survivor, all."""
        service = mutation.service if isinstance(mutation, SchemaMutation) else None
        first = await run_tests(place, mutation.suspects, service=service)
        if first.red is not None:
            return Verdict(mutation, first.seconds, first.red)
        all_of_it = await run_tests(place)
        return Verdict(mutation, first.seconds + all_of_it.seconds, all_of_it.red)
