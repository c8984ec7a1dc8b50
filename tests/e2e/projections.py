"""The projections of all services: every table of theirs that is not declared to be something else.

A table that is new belongs to them until it is declared, and must heal.
"""

from uuid import UUID

import asyncpg

Databases = dict[str, asyncpg.Connection]
Place = tuple[str, str]
"""Service and table."""
Books = dict[Place, list[asyncpg.Record]]

_OWN = "own data: no event tells all of it"
NO_PROJECTIONS: dict[str, str] = {
    "public.alembic_version": "which migrations have run",
    "tenancy.keys": "the tenancy key",
    "tenancy.relay_state": "where the relay is",
    "tenancy.consumer_offsets": "where consumers are",
    "tenancy.stopped_consumers": "which consumers stopped",
    "tenancy.outbox": "events on their way out",
    "tenancy.outbox_history": "events that went out",
    "tenancy.inbox": "which events were handled; what was handled is not undone",
    "tenancy.dead_letters": "events that were not handled",
    "tenancy.idempotency_keys": "answers to requests",
    "tenancy.erasures": "what the service has erased of a deleted tenant",
    "tenancy.exports": "parts of exports that the service has still to write",
    "auth.address_salts": _OWN,
    "auth.invitations": _OWN,
    "auth.mails": _OWN,
    "auth.operators": _OWN,
    "auth.password_tokens": _OWN,
    "auth.refresh_tokens": _OWN,
    "auth.sessions": _OWN,
    "auth.signing_keys": _OWN,
    "auth.users": "own data: an event begins the owner's account, with a password that no event tells",
    "tenants.custom_domains": _OWN,
    "tenants.deletions": _OWN,
    "tenants.domain_claims": _OWN,
    "tenants.erasure_reports": "evidence of a deletion: what was told once, kept beyond the events",
    "tenants.export_parts": "steps of an export: each is told once",
    "tenants.exports": _OWN,
    "tenants.provisioning_steps": "steps of a sign-up: each is told once",
    "tenants.provisionings": _OWN,
    "tenants.reconciliations": _OWN,
    "tenants.sign_up_keys": _OWN,
    "tenants.stripe_events": _OWN,
    "tenants.subscriptions": _OWN,
    "tenants.tenants": _OWN,
    "workspaces.workspaces": "own data: an event begins the first one, and all later changes are its own",
    "workspaces.members": "own data: events begin and end memberships, beside all that people change",
    "campaigns.campaigns": _OWN,
    "campaigns.contacts": _OWN,
    "campaigns.dkim_keys": _OWN,
    "campaigns.domains": _OWN,
    "campaigns.list_contacts": _OWN,
    "campaigns.lists": _OWN,
    "campaigns.monthly_sends": _OWN,
    "campaigns.templates": _OWN,
    "audit.events": "the log itself: it outlives the events it was made of",
    "audit.action_contexts": "the log itself",
    "audit.verdicts": "the log itself: judgements of their moment",
    "audit.open_accesses": "accesses to be judged again",
    "audit.quarantine": "records that could not become events",
    "audit.producers": "which numbers have arrived",
    "audit.gaps": "which numbers have not",
}
"""Tables that are not made from events alone, and why."""

TOLD_ONCE = {"audit.ownership"}
"""Projections of events that no snapshot tells again, for what they are about may be gone: births and deaths.
The history published again heals them."""

HANDLED_ONCE = {"tenants.monthly_sends"}
"""Projections of a service's own handlers: a replay leaves alone what was handled; a snapshot heals."""

_TABLES = """
SELECT format('%s.%s', n.nspname, c.relname) AS name FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY name
"""


async def tables(databases: Databases) -> list[Place]:
    """Every table of every service."""
    return [
        (service, row["name"])
        for service, connection in databases.items()
        for row in await connection.fetch(_TABLES)
    ]


async def projections(databases: Databases) -> list[Place]:
    return [place for place in await tables(databases) if place[1] not in NO_PROJECTIONS]


async def books(databases: Databases, tenant_id: UUID) -> Books:
    """The tenant's rows in every projection: each as text, and without its version."""
    return {
        (service, table): await databases[service].fetch(
            f"SELECT p::text AS whole, to_jsonb(p) - 'version' AS facts FROM {table} AS p "
            "WHERE tenant_id = $1 ORDER BY p::text",
            tenant_id,
        )
        for service, table in await projections(databases)
    }


async def empty(databases: Databases, tenant_id: UUID, spare: set[str] | None = None) -> None:
    """Delete the tenant's rows from every projection but those to spare."""
    for service, table in await projections(databases):
        if table not in (spare or ()):
            statement = f"DELETE FROM {table} WHERE tenant_id = $1"
            await databases[service].execute(statement, tenant_id)


def facts(rows: Books) -> dict[Place, list[str]]:
    """The rows without their versions."""
    return {place: sorted(row["facts"] for row in found) for place, found in rows.items()}
