"""What the roles beside the app role may do: exactly what their work needs, down to the column.

The work of these roles spans tenants, so each of their grants counts. Add one here with its reason.
"""

import asyncpg
import pytest

from tests.isolation.installation import World

_GRANTED = """
SELECT n.nspname || '.' || c.relname AS name, x.privilege_type AS privilege, NULL AS col
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS x
WHERE x.grantee = $1::regrole
UNION ALL
SELECT n.nspname || '.' || c.relname, x.privilege_type, a.attname::text
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(a.attacl) AS x
WHERE x.grantee = $1::regrole
"""
_SCHEMAS = """
SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  AND has_schema_privilege($1, oid, 'USAGE')
"""
_CALLABLE = """
SELECT n.nspname || '.' || p.proname FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND has_function_privilege($1, p.oid, 'EXECUTE')
  AND has_schema_privilege($1, n.oid, 'USAGE')
"""

RELAY: dict[str, str] = {
    # Publishes, parks, takes away what is published; tells beside it what an operator does here.
    "tenancy.outbox": "DELETE "
    + " ".join(
        f"INSERT({column})"
        for column in (
            *("data", "event_id", "subject", "tenant_id", "topic", "traceparent", "tracestate", "type"),
        )
    )
    + " SELECT UPDATE",
    "tenancy.outbox_history": "INSERT SELECT",  # keeps for a replay what was published
    "tenancy.relay_state": "SELECT UPDATE",  # one row: how far it is
    "tenancy.consumer_offsets": "INSERT SELECT UPDATE",  # positions; no tenant's data
    "tenancy.stopped_consumers": "DELETE INSERT SELECT",  # which consumers stopped; no tenant's data
    "tenancy.tenants": "SELECT(tenant_id)",  # whose state a snapshot tells
    "tenancy.inbox": "SELECT(tenant_id)",
    # What operators list of all tenants' dead letters; not `envelope`, which holds what the event says.
    "tenancy.dead_letters": " ".join(
        f"SELECT({column})"
        for column in (
            *("attempts", "consumer", "died_at", "event_id", "holds", "place", "reason", "subject"),
            *("tenant_id", "topic", "type", "waiting"),
        )
    ),
}
INGEST: dict[str, str] = {
    "audit.events": "INSERT SELECT",  # the log: written once, never changed
    "audit.action_contexts": "INSERT SELECT",
    "audit.verdicts": "INSERT SELECT",
    "audit.quarantine": "INSERT SELECT UPDATE(admitted_at)",  # records that could not be taken
    "audit.open_accesses": "DELETE INSERT SELECT",  # accesses to be judged again
    "audit.ownership": "INSERT SELECT UPDATE",  # who owns which id
    "audit.producers": "INSERT SELECT UPDATE",  # sequence numbers seen
    "audit.gaps": "INSERT SELECT UPDATE",
    "tenancy.consumer_offsets": "INSERT SELECT UPDATE",
    "tenancy.tenants": "SELECT(status) SELECT(tenant_id)",  # which are deleted: of those nothing is kept
    "tenancy.outbox": "INSERT",  # what it decides, on penguinmails.security only (policy)
}


async def granted(superuser: asyncpg.Connection, role: str) -> dict[str, str]:
    """The role's privileges by table, columns in brackets."""
    found: dict[str, set[str]] = {}
    for row in await superuser.fetch(_GRANTED, role):
        column = f"({row['col']})" if row["col"] else ""
        found.setdefault(row["name"], set()).add(f"{row['privilege']}{column}")
    return {name: " ".join(sorted(privileges)) for name, privileges in found.items()}


async def test_relay_has_the_outbox_and_nothing_else(world: World, superuser: asyncpg.Connection) -> None:
    role = f"{world.service}_relay"
    assert await granted(superuser, role) == RELAY
    assert [row[0] for row in await superuser.fetch(_SCHEMAS, role)] == ["tenancy"]
    assert [row[0] for row in await superuser.fetch(_CALLABLE, role)] == ["tenancy.maintain_history"]


@pytest.mark.parametrize(
    ("topic", "kind", "taken"),
    [
        ("penguinmails.security", "penguinmails.ParkedEventDropped.v1", True),
        ("penguinmails.security", "penguinmails.OperatorClosed.v1", False),
        ("penguinmails.users", "penguinmails.UserDeactivated.v1", False),
    ],
)
async def test_relay_tells_nothing_but_what_operators_do_to_its_events(
    world: World, superuser: asyncpg.Connection, topic: str, kind: str, taken: bool
) -> None:
    statement = """
        INSERT INTO tenancy.outbox (tenant_id, event_id, topic, type, subject, data)
        VALUES (gen_random_uuid(), gen_random_uuid(), $1, $2, 'x', '{}')
    """
    await superuser.execute("BEGIN")
    try:
        await superuser.execute(f"SET LOCAL ROLE {world.service}_relay")
        if taken:
            await superuser.execute(statement, topic, kind)
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await superuser.execute(statement, topic, kind)
    finally:
        await superuser.execute("ROLLBACK")


async def test_ingestion_has_the_log_and_its_own_books_and_nothing_else(
    world: World, superuser: asyncpg.Connection
) -> None:
    """A role of one service: in the other databases it has no grant at all."""
    service = world.service == "audit"
    assert await granted(superuser, "audit_ingest") == (INGEST if service else {})
    schemas = {row[0] for row in await superuser.fetch(_SCHEMAS, "audit_ingest")}
    assert schemas == ({"audit", "tenancy"} if service else set())
    functions = [row[0] for row in await superuser.fetch(_CALLABLE, "audit_ingest")]
    assert functions == (["audit.ensure_days"] if service else [])


async def test_roles_of_other_services_have_nothing_here(world: World, superuser: asyncpg.Connection) -> None:
    """Roles belong to the whole server: what counts is what each may do in this database."""
    roles = await superuser.fetch(
        "SELECT rolname FROM pg_roles "
        "WHERE rolname ~ '_(owner|app|relay|ingest)$' AND rolname !~ ('^(pg_|' || $1 || ')')",
        f"{world.service}_",
    )
    assert len(roles) >= 12
    for (role,) in roles:
        assert await granted(superuser, role) == {}, role
        assert await superuser.fetch(_SCHEMAS, role) == [], role
