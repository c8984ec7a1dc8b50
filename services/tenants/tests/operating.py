"""An operator over HTTP, and the operators' commands of this service."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import typer
from services.tenants.tests.world import Office
from typer.testing import CliRunner

from common.ids import PLATFORM_TENANT, Kind, new_id, to_text
from common.testing.harness import Harness, bearer

BASE = "/api/v1/platform"


class Operator:
    """One of the platform's operators, with a token."""

    def __init__(self, service: Harness) -> None:
        self._service, self.operator_id = service, new_id()
        self._headers = bearer(service.issuer.operator_token(self.operator_id))

    @property
    def actor(self) -> dict[str, str]:
        return {"type": "operator", "id": to_text(Kind.OPERATOR, self.operator_id)}

    async def ask(self, method: str, path: str, **rest: Any) -> httpx.Response:
        return await self._service.client.request(method, BASE + path, headers=self._headers, **rest)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.ask("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = await self.ask("POST", path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def listed(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """What stands on all pages of a list, read two at a time."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.get(path, **params, **cursor, limit=2)
            found += page["data"]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}


async def records_of(service: Harness, office: Office, actor: dict[str, str]) -> list[tuple[bool, str]]:
    """What the operator has read: in the platform's log or not, and where."""
    await service.kernel.access_log.flush()
    rows = await office.fetch(
        "SELECT tenant_id, data FROM tenancy.outbox WHERE type LIKE '%.AccessRecorded.%' ORDER BY id"
    )
    return [
        (row["tenant_id"] == PLATFORM_TENANT, record["request"]["route"])
        for row in rows
        for record in json.loads(row["data"])["records"]
        if record["actor"] == actor
    ]


class CommandLine:
    """`python -m tenants …`, in a loop of its own."""

    def __init__(self, service: Harness, commands: typer.Typer, patch: pytest.MonkeyPatch) -> None:
        self._commands = commands
        for module in ("billing", "export", "deletion"):
            patch.setattr(f"tenants.{module}.commands.from_environment", lambda _: service.kernel.settings)

    async def run(self, *words: str, status: int = 0) -> Sequence[dict[str, Any]]:
        result = await asyncio.to_thread(CliRunner().invoke, self._commands, [*words, "--by", "root"])
        assert result.exit_code == status, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]
