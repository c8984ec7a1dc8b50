"""What a mutation is, and the suspicion which tests notice it."""

from dataclasses import dataclass
from pathlib import Path

import asyncpg

ROOT = Path(__file__).parents[3]


class Stale(Exception):
    """A mutation no longer fits what it breaks: the text it replaces is not there exactly once."""


@dataclass(frozen=True)
class Edit:
    """A replacement in a file of the repository; `old` must stand there exactly once."""

    path: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """The changed text.

        Raises:
            Stale: `old` is not there exactly once.
        """
        return replace_once(text, self.old, self.new, self.path)


@dataclass(frozen=True)
class CodeMutation:
    """A breakage of code. `suspects`: files or tests of the suite that should notice it, tried first."""

    name: str
    edits: tuple[Edit, ...]
    suspects: tuple[str, ...]


def code(name: str, suspect: str, *edits: Edit) -> CodeMutation:
    """A breakage that one test should notice."""
    return CodeMutation(name, edits, (suspect,))


@dataclass(frozen=True)
class Rewrite:
    """A replacement in the definition of a function in the database; `old` must stand there exactly once."""

    function: str
    old: str
    new: str

    async def apply(self, connection: asyncpg.Connection) -> None:
        definitions = await connection.fetch(
            "SELECT pg_get_functiondef(p.oid) FROM pg_proc AS p "
            "JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname || '.' || p.proname = $1",
            self.function,
        )
        if len(definitions) != 1:
            raise Stale(f"there are {len(definitions)} functions {self.function}")
        await connection.execute(replace_once(definitions[0][0], self.old, self.new, self.function))


@dataclass(frozen=True)
class SchemaMutation:
    """A breakage of one service's migrated database.

    `undo` reverses what stands outside the database (roles belong to the whole server); such a mutation
    runs alone.
    """

    name: str
    service: str
    change: str | Rewrite
    suspects: tuple[str, ...]
    undo: str | None = None

    async def apply(self, connection: asyncpg.Connection) -> None:
        """Break the database on whose superuser connection this is."""
        try:
            if isinstance(self.change, Rewrite):
                await self.change.apply(connection)
            else:
                await connection.execute(self.change)
        except asyncpg.PostgresError as error:
            raise Stale(f"{self.name}: {error}") from error


Mutation = CodeMutation | SchemaMutation


def replace_once(text: str, old: str, new: str, place: str) -> str:
    count = text.count(old)
    if count != 1:
        raise Stale(f"{place} has {count} times what the mutation replaces: {old!r}")
    return text.replace(old, new)
