"""Exceptions that a newer release makes: its migrations mark them for older services, which list others."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from common.db.catalog import find_breaches, mark_reviewed
from tests.isolation.installation import World
from tests.isolation.services import SERVICES

_WITHOUT_WORD = """
SELECT n.nspname || '.' || p.proname FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname NOT LIKE 'pg\\_%'
    AND coalesce(obj_description(p.oid, 'pg_proc'), '') NOT LIKE 'Reviewed: %'
UNION
SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
    AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
    AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'Reviewed: %'
UNION
SELECT rtrim(p.polrelid::regclass::text, '_0123456789') FROM pg_policy AS p
WHERE NOT $1::regrole::oid = ANY (p.polroles)
    AND pg_get_expr(coalesce(p.polqual, p.polwithcheck), p.polrelid) NOT LIKE '%tenancy.%\\_tenant()%'
    AND coalesce(obj_description(p.oid, 'pg_policy'), '') NOT LIKE 'Reviewed: %'
"""
MADE_BEFORE = {
    "audit.action_contexts",
    "audit.blank_events",
    "audit.deleted_tenant",
    "audit.ensure_days",
    "audit.erase_records",
    "audit.events",
    "audit.gaps",
    "audit.open_accesses",
    "audit.ownership",
    "audit.producers",
    "audit.quarantine",
    "audit.trim",
    "audit.verdicts",
    "auth.accounts_of",
    "auth.due_mail_tenants",
    "auth.mails",
    "auth.users",
    "public.alembic_version",
    "tenancy.consumer_offsets",
    "tenancy.current_tenant",
    "tenancy.dead_letters",
    "tenancy.due_erasures",
    "tenancy.due_exports",
    "tenancy.enter",
    "tenancy.enter_system",
    "tenancy.erasures",
    "tenancy.exports",
    "tenancy.inbox",
    "tenancy.is_platform",
    "tenancy.keys",
    "tenancy.maintain_history",
    "tenancy.members",
    "tenancy.outbox",
    "tenancy.outbox_history",
    "tenancy.relay_state",
    "tenancy.revocations",
    "tenancy.stopped_consumers",
    "tenancy.system_tenant",
    "tenancy.tenants",
    "tenants.billed_tenants",
    "tenants.claim_domain",
    "tenants.confirm_domain",
    "tenants.custom_domains",
    "tenants.deletions",
    "tenants.departure_ages",
    "tenants.domain_claims",
    "tenants.due_billing_tenants",
    "tenants.due_deletions",
    "tenants.due_domains",
    "tenants.due_exports",
    "tenants.erase_claims",
    "tenants.exports",
    "tenants.list_tenants",
    "tenants.open_deletions",
    "tenants.provisionings",
    "tenants.release_domain",
    "tenants.subscriptions",
    "tenants.tenants",
    "tenants.tenants_of_customer",
    "tenants.unfinished_sign_ups",
}
"""Exceptions that older code lists itself, from before migrations had to say `Reviewed: `."""

_PEEK = (
    "CREATE FUNCTION campaigns.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER "
    "SET search_path = pg_catalog RETURN (SELECT count(*) FROM campaigns.contacts)"
)
_ASKS = _PEEK.replace("RETURN (", "RETURN (SELECT 1 WHERE tenancy.is_platform()) + (")
_KEPT = "REVOKE ALL ON FUNCTION campaigns.peek() FROM PUBLIC"
_LOOT = "CREATE TABLE campaigns.loot (id uuid)"
_DOOR = "CREATE POLICY door ON campaigns.contacts TO {to} USING (true)"


@pytest.mark.parametrize(
    ("made", "named", "finding"),
    [
        (f"{_ASKS}; {_KEPT}", "FUNCTION campaigns.peek", None),
        (f"{_PEEK}; {_KEPT}", "FUNCTION campaigns.peek", "SECURITY DEFINER"),
        (_ASKS, "FUNCTION campaigns.peek", "SECURITY DEFINER"),
        (_LOOT, "TABLE campaigns.loot", None),
        (_DOOR.format(to="campaigns_relay"), "POLICY door ON campaigns.contacts", None),
        (f"{_LOOT}; GRANT SELECT ON campaigns.loot TO campaigns_app", "TABLE campaigns.loot", "no tenant_id"),
        (
            f"{_LOOT}; GRANT UPDATE (id) ON campaigns.loot TO campaigns_app",
            "TABLE campaigns.loot",
            "no tenant_id",
        ),
        (_DOOR.format(to="campaigns_app"), "POLICY door ON campaigns.contacts", "past its tenant"),
    ],
)
async def test_what_a_newer_release_calls_reviewed_keeps_no_older_service_from_its_start(
    worlds: Callable[[str], Awaitable[World]], made: str, named: str, finding: str | None
) -> None:
    """It is on that release's lists. The word alone lets nothing pass that requests reach."""
    campaigns = await worlds("campaigns")
    connection = await asyncpg.connect(campaigns.database.superuser_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(made)
        assert await find_breaches(connection, "campaigns"), "without the word"
        await connection.execute(mark_reviewed({named: "nobody's"}))
        findings = await find_breaches(connection, "campaigns")
    finally:
        await transaction.rollback()
        await connection.close()
    assert bool(findings) is bool(finding), findings
    assert finding is None or any(finding in text for text in findings), findings


async def test_exceptions_made_since_there_is_a_word_for_them_have_it(
    worlds: Callable[[str], Awaitable[World]],
) -> None:
    """Else the release before could not begin anew on the database of this one."""
    bare: set[str] = set()
    for name in SERVICES:
        world = await worlds(name)
        connection = await asyncpg.connect(world.database.superuser_url)
        try:
            bare |= {row[0] for row in await connection.fetch(_WITHOUT_WORD, f"{name}_app")}
        finally:
            await connection.close()
    assert bare <= MADE_BEFORE
