"""Every statement names its tenant, so that a router before several databases finds the right one."""

import re
from collections.abc import Awaitable, Callable

from tests.isolation.calls import Calls
from tests.isolation.installation import World
from tests.isolation.recorder import StatementRecorder
from tests.isolation.routes import ROUTES
from tests.isolation.services import SERVICES

_INSERT = re.compile(r"\bINSERT INTO \S+(?: AS \w+)?\s+\(([^)]*)\)", re.IGNORECASE)
_NARROWED = re.compile(r"\btenant_id\s*=|\btenant_id IN\b", re.IGNORECASE)
UNNARROWED = "/* unnarrowed */"
"""Marks what tests ask on purpose without a condition."""
FEWEST = 50
"""Distinct statements that seeding alone brings about."""


def names_tenant(statement: str) -> bool:
    """Whether the tenant is among the inserted columns, or a condition."""
    inserted = _INSERT.search(statement)
    return "tenant_id" in inserted[1] if inserted else bool(_NARROWED.search(statement))


async def test_statements_of_hot_routes_are_seen(in_process: Calls, statements: StatementRecorder) -> None:
    """They run without SQLAlchemy, whose events tell nothing of them."""
    mine, _ = await in_process.pair("campaigns")
    for route in (route for route in ROUTES if route.path == "/api/v1/campaigns"):
        assert (await in_process.ask(route, mine, {})).is_success
    raw = statements.compiled - statements.seen
    assert any("FROM campaigns.campaigns" in statement for statement in raw)
    assert any("INSERT INTO campaigns.campaigns" in statement for statement in raw)


async def test_every_statement_over_a_tenant_table_names_the_tenant(
    worlds: Callable[[str], Awaitable[World]], statements: StatementRecorder
) -> None:
    tables = {table.name for name in SERVICES for table in (await worlds(name)).tables}
    pattern = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE)\s+({'|'.join(map(re.escape, sorted(tables)))})\b")
    services_own = [
        statement for statement in statements.seen | statements.compiled if UNNARROWED not in statement
    ]
    concerned = [statement for statement in services_own if pattern.search(statement)]
    assert len(concerned) >= FEWEST, "the recorder sees what the services run"
    unnamed = [statement for statement in concerned if not names_tenant(statement)]
    assert not unnamed, "\n\n".join(unnamed)
