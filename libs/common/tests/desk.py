"""An operator at the command line of a service whose database tests have."""

import asyncio
import json
from typing import Any
from uuid import UUID

import asyncpg
import typer
from typer.testing import CliRunner

from common.ids import new_id

_READS = """
SELECT data FROM tenancy.outbox WHERE tenant_id = $1 AND type LIKE '%.AccessRecorded.%' UNION ALL
SELECT data FROM tenancy.outbox_history WHERE tenant_id = $1 AND type LIKE '%.AccessRecorded.%'
"""


class Desk:
    """Runs commands in the name of `by`."""

    def __init__(self, commands: typer.Typer, connection: asyncpg.Connection) -> None:
        self._commands, self._connection = commands, connection
        self.by = new_id().hex

    async def says(self, *words: str) -> list[dict[str, Any]]:
        """What the command prints, without its progress."""
        result = await self._run(*words)
        assert result.exit_code == 0, result.output
        documents = [json.loads(line) for line in result.stdout.splitlines()]
        return [document for document in documents if "progress" not in document]

    async def refuses(self, *words: str) -> str:
        """Why the command is a wrong one."""
        result = await self._run(*words)
        assert result.exit_code == 2, result.output
        return " ".join(result.output.replace("│", " ").split())

    async def _run(self, *words: str) -> Any:
        asked = [*words, "--by", self.by]
        return await asyncio.to_thread(CliRunner().invoke, self._commands, asked)

    async def reads(self, tenant: UUID) -> list[tuple[str, list[str]]]:
        """The reads of ours that the tenant's log is told of: with which command, and of what."""
        told = [json.loads(row["data"]) for row in await self._connection.fetch(_READS, tenant)]
        return [
            (one["request"]["route"], [target["id"] for target in one["targets"]])
            for event in told
            for one in event["records"]
            if one["actor"]["id"] == self.by
        ]

    async def actions(self, tenant: UUID) -> list[tuple[str, dict[str, Any]]]:
        """The operators' events of ours that the tenant's log is told of: their names and what they say."""
        rows = await self._connection.fetch(
            "SELECT type, data FROM ("
            "SELECT tenant_id, type, topic, data, occurred_at FROM tenancy.outbox UNION ALL "
            "SELECT tenant_id, type, topic, data, occurred_at FROM tenancy.outbox_history) AS told "
            "WHERE tenant_id = $1 AND topic NOT LIKE '%.dlq' ORDER BY occurred_at",
            tenant,
        )
        told = [(row["type"].split(".")[1], json.loads(row["data"])) for row in rows]
        return [
            (name, facts)
            for name, facts in told
            if ((facts.get("meta") or {}).get("actor") or {}).get("id") == self.by
            and name != "AccessRecorded"
        ]
