"""Recipes that give a tenant at least one row in every table, through the code that writes it in earnest.

A tenant table that stays empty fails `test_sql.py`: add its recipe here.
"""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from uuid import UUID

import asyncpg
import jwt
from services.tenants.tests.world import ScriptedStripe
from sqlalchemy import select, text

from audit.settings import AuditSettings
from auth.mail.service import claim_mail
from auth.models import MailRow, UserRow
from auth.settings import settings_of
from campaigns.quota.service import reserve_sends
from common import clock
from common.bus import inbox, outbox
from common.context import SystemContext
from common.contracts.auth import SessionEnded
from common.contracts.envelope import Envelope
from common.db.dead_letters import bury
from common.ids import Kind, new_id, parse, to_text
from common.testing.harness import Harness, MadeTenant, bearer
from common.web.service_tokens import make_service_token
from tenants.billing.worker import Clerk
from tenants.custom_domain.rules import claim_hash
from tenants.custom_domain.service import choose as choose_domain
from tenants.export.service import NEVER
from tenants.models import DeletionRow, ErasureReportRow, ExportPartRow, ExportRow
from tenants.parts import TenantsParts
from tenants.provisioning.schemas import TenantCreate
from tenants.provisioning.service import Allocation, begin, claim_key
from tenants.tenant.queries import put_monthly_sends
from tests.isolation.services import SIGNING_KEY_PEM

_SECRET = "00"
_IDEMPOTENCY_KEY = text("""
INSERT INTO tenancy.idempotency_keys (tenant_id, principal, route, key, request_hash, status)
VALUES (tenancy.current_tenant(), :principal, 'POST /seed', :key, sha256('seed'), 201)
""")
# Of an erasure that is done, as if the tenant had been deleted: it holds nothing up.
_EXPORT = text("""
INSERT INTO tenancy.exports (tenant_id, job_id, written_at)
VALUES (tenancy.current_tenant(), uuidv7(), clock_timestamp())
""")
_ERASURE = text("""
INSERT INTO tenancy.erasures (tenant_id, erased_at) VALUES (tenancy.current_tenant(), clock_timestamp())
""")
# Tables of the platform's tenant: rows of others exist nowhere but here, to prove that the wall hides them.
_SIGNING_KEY = text("""
INSERT INTO auth.signing_keys (tenant_id, kid, status, public_jwk, private_key)
VALUES (tenancy.current_tenant(), :kid, 'retired', '{}', '')
""")
_ADDRESS_SALT = text("""
INSERT INTO auth.address_salts (tenant_id, address_key, salt, time_cost, memory_kib, parallelism)
VALUES (tenancy.current_tenant(), sha256('seed'), sha256('salt'), 1, 8, 1)
""")
_OPERATOR = text("""
INSERT INTO auth.operators (tenant_id, operator_id, email, name, password_hash, totp_secret)
VALUES (tenancy.current_tenant(), :operator, 'op@example.com', 'Opal', 'none', 'none')
""")
_STRIPE_EVENT = text("""
INSERT INTO tenants.stripe_events (tenant_id, event_id, type)
VALUES (tenancy.current_tenant(), :event, 'customer.updated')
""")
_RECONCILIATION = text("""
INSERT INTO tenants.reconciliations (tenant_id, day)
VALUES (tenancy.current_tenant(), '2026-01-01'), (tenancy.current_tenant(), NULL)
""")
_CUSTOMER = text("UPDATE tenants.subscriptions SET customer_id = 'cus_seed' WHERE tenant_id = :tenant")
_AUDIT_EVENT = (
    "INSERT INTO audit.events "
    "(tenant_id, event_id, occurred_at, action, actor_type, outcome, severity, source) "
    "VALUES ($1, $2, $3, 'campaign.created', 'system', 'success', 'info', 'campaigns')",
    "INSERT INTO audit.action_contexts "
    "(tenant_id, event_id, occurred_at, ip, user_agent, method, route, request_id) "
    "VALUES ($1, $2, $3, '', '', 'POST', '/', 'seed')",
    "INSERT INTO audit.verdicts (tenant_id, event_id, occurred_at, revision, flag, severity) "
    "VALUES ($1, $2, $3, 1, 'none', 'info')",
)

Recipe = Callable[[Harness, MadeTenant], Awaitable[None]]


async def seed(harness: Harness, tenant: MadeTenant) -> None:
    """Give the tenant its rows."""
    await _seed_kernel(harness, tenant)
    await RECIPES[harness.service.name](harness, tenant)


async def _seed_kernel(harness: Harness, tenant: MadeTenant) -> None:
    ended = SessionEnded(
        tenant_id=tenant.tenant_id,
        session_id=new_id(),
        version=2,
        user_id=tenant.owner_id,
        at=clock.now() - timedelta(minutes=1),
    )
    await harness.handle(tenant.tenant_id, ended)
    envelope = Envelope(
        event_id=new_id(),
        source="auth",
        type=ended.ce_type(),
        time=clock.now(),
        subject=ended.subject,
        tenant_id=tenant.tenant_id,
        sequence=1,
        data=ended.model_dump_json().encode(),
    )
    context = SystemContext(tenant.tenant_id, "event", harness.service.name)
    async with harness.kernel.database.tenant(context) as session:
        await inbox.claim(session, harness.service.name, envelope)
        await outbox.emit(session, ended)
        await bury(session, harness.service.name, ended.TOPIC, envelope, "Seeded", attempts=1)
        await session.execute(_ERASURE)
        await session.execute(_EXPORT)
        await session.execute(_IDEMPOTENCY_KEY, {"principal": str(tenant.owner_id), "key": str(new_id())})
        await session.commit()


async def _post(harness: Harness, tenant: MadeTenant, path: str, **body: object) -> dict[str, str]:
    answer = await harness.client.post(f"/api/v1{path}", headers=tenant.headers, json=body)
    assert answer.is_success, answer.text
    made: dict[str, str] = answer.json()
    return made


async def _seed_auth(harness: Harness, tenant: MadeTenant) -> None:
    await sign_in(harness, tenant)
    await _post(harness, tenant, "/invitations", email=f"{new_id().hex}@example.com", role="member")
    async with harness.kernel.database.tenant(SystemContext(tenant.tenant_id, "job", "auth")) as session:
        mail = (await session.scalars(select(MailRow).where(MailRow.kind == "welcome"))).one()
        await claim_mail(session, mail, settings_of(harness.kernel))
        await session.execute(_SIGNING_KEY, {"kid": str(new_id())})
        await session.execute(_ADDRESS_SALT)
        await session.commit()
    async with harness.kernel.database.tenant(SystemContext(tenant.tenant_id, "platform", "auth")) as session:
        await session.execute(_OPERATOR, {"operator": new_id()})
        await session.commit()


async def sign_in(harness: Harness, tenant: MadeTenant) -> UUID:
    """A session of the owner's, from the auth service's internal route."""
    body = {
        "tenant_id": to_text(Kind.TENANT, tenant.tenant_id),
        "user_id": to_text(Kind.USER, tenant.owner_id),
    }
    headers = bearer(make_service_token(SIGNING_KEY_PEM, "tenants", "auth"))
    answer = await harness.client.post("/internal/tokens", headers=headers, json=body)
    assert answer.status_code == 201, answer.text
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    return parse(Kind.SESSION, claims["sid"])


async def add_user(harness: Harness, tenant: MadeTenant) -> str:
    """Id of a further user of the tenant, stored by the auth service."""
    user_id = new_id()
    async with harness.kernel.database.tenant(SystemContext(tenant.tenant_id, "job", "auth")) as session:
        session.add(UserRow(user_id=user_id, email=f"{user_id.hex}@example.com", name="Carl", role="member"))
        await session.commit()
    return to_text(Kind.USER, user_id)


async def _seed_tenants(harness: Harness, tenant: MadeTenant) -> None:
    await sign_up(harness, tenant)
    context = SystemContext(tenant.tenant_id, "provisioning", "tenants")
    async with harness.kernel.database.tenant(context) as session:
        await claim_key(session, tenant.tenant_id.bytes * 2, tenant.tenant_id.bytes * 2)
        await put_monthly_sends(session, date(2026, 11, 1), 100, 1)
        await choose_domain(session, _domain_of(tenant.tenant_id), _SECRET)
        session.add(DeletionRow(erase_at=clock.now() + timedelta(days=3650)))
        await session.flush()
        job_id = new_id()
        session.add(ExportRow(job_id=job_id, status="failed", next_step_at=NEVER))
        session.add(ErasureReportRow(service="seed", report={}))
        await session.flush()
        session.add(ExportPartRow(job_id=job_id, service="seed", resources={}))
        await session.execute(_STRIPE_EVENT, {"event": str(new_id())})
        await session.execute(_RECONCILIATION)
        await session.execute(_CUSTOMER, {"tenant": tenant.tenant_id})
        await session.commit()


def claim_of(tenant_id: UUID) -> bytes:
    """What the platform knows of the tenant's custom domain."""
    return claim_hash(_SECRET, _domain_of(tenant_id))


def _domain_of(tenant_id: UUID) -> str:
    return f"{tenant_id.hex}.example"


async def sign_up(harness: Harness, tenant: MadeTenant) -> None:
    """The tenant as the service that owns tenants stores it."""
    body = TenantCreate(
        company_name="Seeded Ltd", owner_email="owner@example.com", owner_name="Olga Owner", plan="starter"
    )
    allocation = Allocation(tenant.tenant_id, tenant.owner_id, tenant.workspace_id)
    context = SystemContext(tenant.tenant_id, "provisioning", "tenants")
    async with harness.kernel.database.tenant(context) as session:
        await begin(session, allocation, body)
        await session.commit()


STRIPE = ScriptedStripe()
"""What the routes of billing see of the world."""


async def subscribe(harness: Harness, tenant: MadeTenant) -> None:
    """Give the tenant a customer and a subscription, and the routes the Stripe that has them."""
    parts: TenantsParts = harness.client._transport.app._app.state.parts  # type: ignore[attr-defined]
    for name in ("list_invoices", "open_portal", "open_checkout"):
        setattr(parts.stripe, name, getattr(STRIPE, name))
    clerk = Clerk(harness.kernel.database, STRIPE)  # type: ignore[arg-type]
    case = await clerk.claim(tenant.tenant_id, at_once=True)
    assert case is not None
    await clerk.attend(case)


async def _seed_workspaces(harness: Harness, tenant: MadeTenant) -> None:
    await _post(harness, tenant, "/workspaces", name="Second")


async def _seed_campaigns(harness: Harness, tenant: MadeTenant) -> None:
    workspace = to_text(Kind.WORKSPACE, tenant.workspace_id)
    await _post(harness, tenant, "/campaigns", workspace_id=workspace, name="Spring")
    contact = await _post(harness, tenant, "/contacts", workspace_id=workspace, email="ada@example.com")
    page = {"subject": "Hello", "html": "<p>Hello</p>"}
    await _post(harness, tenant, "/templates", workspace_id=workspace, name="Welcome", **page)
    await _post(harness, tenant, "/domains", workspace_id=workspace, domain="acme.example")
    async with harness.kernel.database.tenant(SystemContext(tenant.tenant_id, "job", "campaigns")) as session:
        await reserve_sends(session, 1, clock.now())
        await session.commit()
    listed = await _post(harness, tenant, "/lists", workspace_id=workspace, name="Newsletter")
    await _post(harness, tenant, f"/lists/{listed['list_id']}/contacts", contact_ids=[contact["contact_id"]])


async def _seed_audit(harness: Harness, tenant: MadeTenant) -> None:
    await record_event(harness, tenant)


async def record_event(harness: Harness, tenant: MadeTenant) -> UUID:
    """An event in the tenant's log, written as the consumer's role writes it."""
    event_id = new_id()
    settings = harness.kernel.settings
    assert isinstance(settings, AuditSettings)
    connection = await asyncpg.connect(settings.ingest_database_url)
    try:
        for statement in _AUDIT_EVENT:
            await connection.execute(statement, tenant.tenant_id, event_id, clock.now())
    finally:
        await connection.close()
    return event_id


RECIPES: dict[str, Recipe] = {
    "auth": _seed_auth,
    "tenants": _seed_tenants,
    "workspaces": _seed_workspaces,
    "campaigns": _seed_campaigns,
    "audit": _seed_audit,
}
