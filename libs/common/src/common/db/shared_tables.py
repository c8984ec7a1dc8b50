"""The reviewed lists: what in a service's database is not under the tenant wall, and why.

`check_catalog` compares them with the catalog; whatever is neither protected nor listed stops the service.
"""

SHARED_TABLES: dict[str, str] = {
    "tenancy.keys": "the tenancy key; no service role has any grant on it",
    "tenancy.relay_state": "position of the producer; holds no tenant's data; relay role only",
    "tenancy.consumer_offsets": "positions of consumers; holds no tenant's data",
    "tenancy.stopped_consumers": "which consumers stopped; holds no tenant's data; written by the relay role",
    "tenants.domain_claims": "which tenant has which custom domain, as keyed hashes; no service role has any "
    "grant on it",
    "audit.ownership": "which tenant owns which id, for judging accesses; granted to audit_ingest only",
    "audit.producers": "sequence numbers seen per service; holds no tenant's data; audit_ingest only",
    "audit.gaps": "numbers missing per service; holds no tenant's data; audit_ingest only",
    "public.alembic_version": "which migrations have run; no service role has any grant on it",
}
"""Tables without row-level security."""

UNGRANTED_TABLES = frozenset({"tenancy.keys", "public.alembic_version", "tenants.domain_claims"})
"""Tables on which nobody but their owner has any grant."""

ROLE_POLICIES: dict[str, str] = {
    "tenancy.outbox": "the relay publishes every tenant's events; it can read and delete, and insert only "
    "what operators did to them. "
    "audit_ingest inserts what it decides about any tenant, on penguinmails.security only",
    "tenancy.outbox_history": "the relay publishes history again to a new log; the app role has no grant",
    "tenancy.dead_letters": "operators list what died in all tenants, without what the events say",
    "tenancy.inbox": "operators list the tenants whose state a snapshot tells: ids only",
    "tenancy.tenants": "tenancy.enter reads it as the owner, before any tenant is entered; operators list "
    "the tenants whose state a snapshot tells: ids only; audit_ingest reads which tenants are deleted",
    "tenancy.members": "tenancy.enter reads it as the owner, before any tenant is entered",
    "tenancy.revocations": "tenancy.enter reads it as the owner, before any tenant is entered",
    "tenancy.erasures": "tenancy.due_erasures reads, as the owner, which deleted tenants are not erased yet",
    "tenancy.exports": "tenancy.due_exports reads, as the owner, for whose export a part is to be written",
    "auth.users": "auth.accounts_of looks, as the owner, for the accounts of one address in all tenants",
    "auth.mails": "auth.due_mail_tenants reads, as the owner, whose mails are due",
    "tenants.provisionings": "unfinished_sign_ups reads, as the owner, whose sign-up is unfinished; "
    "list_sign_ups shows all to the platform's operators",
    "tenants.provisioning_steps": "tenants.list_sign_ups shows, as the owner, which steps of each are done",
    "tenants.erasure_reports": "tenants.list_deletions shows, as the owner, which services have reported",
    "tenants.export_parts": "tenants.list_exports shows, as the owner, which services have written",
    "tenants.reconciliations": "tenants.due_reconciliations reads, as the owner, whose is ordered",
    "tenants.tenants": "tenants.list_tenants shows, as the owner, all tenants to the platform's operators",
    "tenants.deletions": "due_deletions, open_deletions, list_deletions read, as the owner, which deletions "
    "are due, which are not certified yet, and how far each is",
    "tenants.custom_domains": "tenants.due_domains reads, as the owner, whose domain is to be looked up",
    "tenants.exports": "due_exports and list_exports read, as the owner, which exports have come due, and "
    "how far each is",
    "tenants.subscriptions": "due_billing_tenants, tenants_of_customer, billed_tenants, list_billing read, "
    "as the owner, whose billing is due, whose a customer at Stripe is, who is billed, and how it stands",
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
    "tenancy.is_platform": "like current_tenant, for the platform acting for itself on an operator's word",
    "tenancy.enter": "verifies the proof, reads the member, seals the context",
    "tenancy.enter_system": "verifies the proof, seals the context",
    "tenancy.maintain_history": "makes and drops partitions of the outbox history",
    "tenancy.due_erasures": "tells the platform's job which deleted tenants are not erased yet: ids only",
    "tenancy.due_exports": "tells the platform's job which tenants wait for an export: ids only",
    "audit.ensure_days": "makes partitions of the audit log within fixed bounds",
    "audit.deleted_tenant": "the tenant of a job's context, if it is deleted; called by the next two only",
    "audit.erase_records": "deletes what the log keeps beside the events of the context's deleted tenant",
    "audit.trim": "deletes events of the context's tenant that are older than its retention, no others",
    "audit.blank_events": "blanks what is personal in the events of the context's deleted tenant",
    "auth.accounts_of": "tells the platform's log-in which tenants have an account of an address and whether "
    "the given hash is its password's; never shows a hash",
    "auth.due_mail_tenants": "tells the platform's job which tenants have due mail: ids only",
    "tenants.claim_domain": "claims a custom domain for the current tenant, unless another tenant has it",
    "tenants.confirm_domain": "marks the current tenant's own claim as verified or not",
    "tenants.erase_claims": "gives all claims of the current tenant up, if it is deleted",
    "tenants.release_domain": "gives the current tenant's own claim up",
    "tenants.unfinished_sign_ups": "tells the platform's job whose sign-up is unfinished: ids only",
    "tenants.due_deletions": "tells the platform's job which deletions have come due: ids only",
    "tenants.departure_ages": "tells the platform's job how long the oldest take: two numbers",
    "tenants.open_deletions": "tells the platform acting for an operator whose deletion is under way: ids",
    "tenants.due_domains": "tells the platform's job whose domain is to be looked up: ids only",
    "tenants.due_exports": "tells the platform's job which exports have come due: ids only",
    "tenants.due_billing_tenants": "tells the platform's job which tenants have due billing: ids only",
    "tenants.list_tenants": "lists tenants for operators: name, plan, status; only to the platform acting "
    "for itself on an operator's word",
    "tenants.list_sign_ups": "lists sign-ups for operators: times and steps; like list_tenants",
    "tenants.list_deletions": "lists deletions for operators: times, problem, reporters; like list_tenants",
    "tenants.list_exports": "lists exports for operators: times, status, writers; like list_tenants",
    "tenants.list_billing": "lists billing for operators: plan, status, ids at Stripe; like list_tenants",
    "tenants.due_reconciliations": "tells the platform's job whose comparison is ordered: ids only",
    "tenants.tenants_of_customer": "tells the platform's job whose a customer at Stripe is: ids only",
    "tenants.billed_tenants": "tells the platform's job which tenants to compare with Stripe: ids only",
}
"""SECURITY DEFINER functions, all with a pinned search_path."""
