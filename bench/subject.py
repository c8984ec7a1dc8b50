"""What is measured on: a stack of its own with two tenants that have data."""

import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from tests.e2e.client import Platform, Tenant

from penguinmails.stack import Stack

CAMPAIGNS = 60
SAMPLED = 0.01
"""Share of requests and events that are traced."""


@dataclass(frozen=True)
class Subject:
    """A running stack; `theirs` has campaigns of ids that `mine` must not learn of."""

    stack: Stack
    environment: dict[str, Any]
    platform: Platform
    mine: Tenant
    theirs: Tenant
    own_campaigns: list[str]
    foreign_campaigns: list[str]
    short: bool
    """Measure a tenth: whether the measurements still run, not how fast anything is."""

    def seconds(self, full: float) -> float:
        """How long a turn takes."""
        return full / 10 if self.short else full

    def database_alone(self) -> AbstractContextManager[None]:
        """Stop everything of the stack but PostgreSQL meanwhile."""
        return self.only("postgres")

    @contextmanager
    def only(self, *needed: str) -> Generator[None]:
        """Stop everything else of the stack meanwhile."""
        others = [name for name in ("supervisor", *self.stack.pids()) if name not in needed]
        for name in others:
            self.stack.kill(name, signal.SIGSTOP)
        try:
            yield
        finally:
            for name in reversed(others):
                self.stack.kill(name, signal.SIGCONT)


@contextmanager
def running_stack() -> Generator[Stack]:
    with TemporaryDirectory() as folder:
        stack = Stack(Path(folder), attached=True, overrides={"TRACE_RATIO": str(SAMPLED)})
        stack.up()
        try:
            yield stack
        finally:
            stack.down()


@asynccontextmanager
async def subject(stack: Stack, short: bool) -> AsyncGenerator[Subject]:
    """Two tenants with campaigns on the stack."""
    environment = stack.env()
    async with httpx.AsyncClient(base_url=environment["gateway"], timeout=30) as http:
        platform = Platform(http)
        mine, theirs = [await platform.sign_up(name, "enterprise") for name in ("Mine", "Theirs")]
        own, foreign = [await _campaigns(platform, tenant) for tenant in (mine, theirs)]
        yield Subject(stack, environment, platform, mine, theirs, own, foreign, short)


async def _campaigns(platform: Platform, tenant: Tenant) -> list[str]:
    made: list[str] = []
    for number in range(CAMPAIGNS):
        body = {"workspace_id": tenant.default_workspace_id, "name": f"Campaign {number}", "subject": "Hello"}
        made.append(str((await platform.make(tenant, "/campaigns", **body))["campaign_id"]))
    return made
