"""The reviewed lists: what in a service's database is not under the tenant wall, and why.

`check_catalog` compares them with the catalog; whatever is neither protected nor listed stops the service.
"""

SHARED_TABLES: dict[str, str] = {
    "tenancy.keys": "the tenancy key; no service role has any grant on it",
    "tenancy.relay_state": "position of the producer; holds no tenant's data; relay role only",
    "tenancy.consumer_offsets": "positions of consumers; holds no tenant's data",
    "tenancy.stopped_consumers": "which consumers stopped; holds no tenant's data; written by the relay role",
    "audit.ownership": "which tenant owns which id, for judging accesses; granted to audit_ingest only",
    "audit.producers": "sequence numbers seen per service; holds no tenant's data; audit_ingest only",
    "audit.gaps": "numbers missing per service; holds no tenant's data; audit_ingest only",
    "public.alembic_version": "which migrations have run; no service role has any grant on it",
}
"""Tables without row-level security."""

UNGRANTED_TABLES = frozenset({"tenancy.keys", "public.alembic_version"})
"""Tables on which nobody but their owner has any grant."""

ROLE_POLICIES: dict[str, str] = {
    "tenancy.outbox": "the relay publishes every tenant's events; it can read and delete, not insert. "
    "audit_ingest inserts what it decides about any tenant, on penguinmails.security only",
    "tenancy.outbox_history": "the relay publishes history again to a new log; the app role has no grant",
    "tenancy.dead_letters": "operators list what died in all tenants, without what the events say",
    "tenancy.inbox": "operators list the tenants whose state a snapshot tells: ids only",
    "tenancy.tenants": "tenancy.enter reads it as the owner, before any tenant is entered; operators list "
    "the tenants whose state a snapshot tells: ids only",
    "tenancy.members": "tenancy.enter reads it as the owner, before any tenant is entered",
    "tenancy.revocations": "tenancy.enter reads it as the owner, before any tenant is entered",
    "auth.users": "auth.accounts_of looks, as the owner, for the accounts of one address in all tenants",
    "auth.mails": "auth.due_mail_tenants reads, as the owner, whose mails are due",
    "tenants.subscriptions": "due_billing_tenants, tenants_of_customer, billed_tenants read, as the owner, "
    "whose billing is due, whose a customer at Stripe is, and who is billed",
    "audit.events": "audit_ingest records events of all tenants in one batch; it can insert and read",
    "audit.action_contexts": "like audit.events",
    "audit.verdicts": "audit_ingest judges accesses across tenants; it can insert and read",
    "audit.open_accesses": "audit_ingest keeps accesses to be judged again; the app role has no grant",
    "audit.quarantine": "audit_ingest keeps records it could not take; the app role has no grant",
}
"""Tables with a policy that lets one role past the tenant: which, for whom, why."""

DEFINER_FUNCTIONS: dict[str, str] = {
    "tenancy.current_tenant": "verifies the seal with the key",
    "tenancy.system_tenant": "like current_tenant, for contexts of the platform only",
    "tenancy.enter": "verifies the proof, reads the member, seals the context",
    "tenancy.enter_system": "verifies the proof, seals the context",
    "tenancy.maintain_history": "makes and drops partitions of the outbox history",
    "audit.ensure_days": "makes partitions of the audit log within fixed bounds",
    "auth.accounts_of": "tells the platform's log-in which tenants have an account of an address and whether "
    "the given hash is its password's; never shows a hash",
    "auth.due_mail_tenants": "tells the platform's job which tenants have due mail: ids only",
    "tenants.due_billing_tenants": "tells the platform's job which tenants have due billing: ids only",
    "tenants.tenants_of_customer": "tells the platform's job whose a customer at Stripe is: ids only",
    "tenants.billed_tenants": "tells the platform's job which tenants to compare with Stripe: ids only",
}
"""SECURITY DEFINER functions, all with a pinned search_path."""
