"""The sign-up saga: begun by a request, carried on by events, visible step by step.

Its steps end in any order and more than once (events come again); each change locks the sign-up first.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from common import clock, telemetry
from common.bus import outbox
from common.contracts.auth import UserRegistered, WelcomeMailDelayed, WelcomeMailRefused, WelcomeMailSent
from common.contracts.tenants import DefaultWorkspace, Owner, TenantProvisioned
from common.contracts.workspaces import WorkspaceCreated
from common.db.session import TenantSession
from common.errors import IdempotencyKeyReused
from common.ids import Kind, new_id, to_text
from tenants.models import CompanyRow, ProvisioningRow, SignUpKeyRow, StepRow, SubscriptionRow
from tenants.provisioning import queries
from tenants.provisioning.rules import BILLING_HEADSTART, NEEDED_FOR_TOKEN, STEPS, StepName
from tenants.provisioning.schemas import TenantCreate
from tenants.tenant.queries import find_company
from tenants.tenant.rules import features_of, limits_of

_BEGUN: frozenset[StepName] = frozenset({"owner_account", "default_workspace", "welcome_mail"})
"""Steps that other services begin as soon as they hear of the tenant."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The ids of a tenant to be, fixed before anything of it exists."""

    tenant_id: UUID
    owner_user_id: UUID
    default_workspace_id: UUID


def allocate() -> Allocation:
    return Allocation(new_id(), new_id(), new_id())


async def claim_key(session: TenantSession, key_hash: bytes, request_hash: bytes) -> tuple[Allocation, bool]:
    """The ids that belong to an Idempotency-Key, and whether it was used before.

    Raises:
        IdempotencyKeyReused: for another request.
    """
    fresh = allocate()
    row = await queries.put_sign_up_key(
        session,
        SignUpKeyRow(
            key_hash=key_hash,
            request_hash=request_hash,
            new_tenant_id=fresh.tenant_id,
            owner_user_id=fresh.owner_user_id,
            default_workspace_id=fresh.default_workspace_id,
        ),
    )
    if row.request_hash != request_hash:
        raise IdempotencyKeyReused
    stored = Allocation(row.new_tenant_id, row.owner_user_id, row.default_workspace_id)
    return stored, stored != fresh


async def begin(session: TenantSession, allocation: Allocation, body: TenantCreate) -> None:
    """Store the tenant and its sign-up and tell everybody; nothing when that was done before."""
    company = CompanyRow(
        company_name=body.company_name,
        plan=body.plan,
        owner_user_id=allocation.owner_user_id,
        default_workspace_id=allocation.default_workspace_id,
    )
    if not await queries.put_company(session, company):
        return
    session.add(ProvisioningRow(owner_email=body.owner_email, owner_name=body.owner_name))
    await session.flush()
    session.add_all(_first_steps())
    tenant = to_text(Kind.TENANT, session.tenant_id)
    session.add(
        SubscriptionRow(
            plan=body.plan,
            customer_key=f"{tenant}/customer",
            subscription_key=f"{tenant}/subscription",
            next_attempt_at=clock.now() + BILLING_HEADSTART,
            traceparent=telemetry.carrier().get("traceparent"),
        )
    )
    await outbox.emit(session, _provisioned(session.tenant_id, allocation, body))


def _first_steps() -> list[StepRow]:
    now = clock.now()
    steps = [StepRow(name=name, place=place) for place, name in enumerate(STEPS)]
    for step in steps:
        if step.name in _BEGUN:
            step.status, step.attempts, step.started_at = "running", 1, now
    steps[0].status, steps[0].attempts = "done", 1
    steps[0].started_at = steps[0].finished_at = now
    return steps


def _provisioned(tenant_id: UUID, allocation: Allocation, body: TenantCreate) -> TenantProvisioned:
    return TenantProvisioned(
        tenant_id=tenant_id,
        version=1,
        company_name=body.company_name,
        plan=body.plan,
        limits=limits_of(body.plan, {}),
        features=features_of(body.plan, {}),
        owner=Owner(user_id=allocation.owner_user_id, email=body.owner_email, name=body.owner_name),
        default_workspace=DefaultWorkspace(
            workspace_id=allocation.default_workspace_id, name="Default", slug="default"
        ),
    )


async def note_owner_account(session: TenantSession, event: UserRegistered) -> None:
    """The account of the owner is open."""
    company = await find_company(session)
    if company is not None and company.owner_user_id == event.user_id:
        await finish_step(session, "owner_account")


async def note_default_workspace(session: TenantSession, event: WorkspaceCreated) -> None:
    """The default workspace exists."""
    company = await find_company(session)
    if company is not None and company.default_workspace_id == event.workspace_id:
        await finish_step(session, "default_workspace")


async def note_welcome_mail(session: TenantSession, event: WelcomeMailSent) -> None:
    """The mail server has taken the welcome mail."""
    await finish_step(session, "welcome_mail", attempts=event.attempts)


async def note_delayed_mail(session: TenantSession, event: WelcomeMailDelayed) -> None:
    """The mail server has not taken the welcome mail yet."""
    error, next_at = f"mail_{event.reason}", event.next_attempt_at
    await fail_step(session, "welcome_mail", error, attempts=event.attempts, next_attempt_at=next_at)


async def note_refused_mail(session: TenantSession, event: WelcomeMailRefused) -> None:
    """The mail server will never take the welcome mail; only a person can help."""
    await fail_step(session, "welcome_mail", f"mail_refused_{event.code}", attempts=event.attempts)


async def begin_step(session: TenantSession, name: StepName) -> None:
    """Another attempt at a step of our own."""
    saga = await lock_saga(session)
    if saga is not None and saga.is_open(name):
        step = saga.steps[name]
        step.status, step.attempts, step.next_attempt_at = "running", step.attempts + 1, None
        step.started_at = step.started_at or clock.now()
        await session.flush()


async def fail_step(
    session: TenantSession,
    name: StepName,
    error: str,
    *,
    attempts: int | None = None,
    next_attempt_at: datetime | None = None,
) -> None:
    """An attempt failed; `error` is a code for people. Without a next attempt only a person can help."""
    saga = await lock_saga(session)
    if saga is not None and saga.is_open(name):
        step = saga.steps[name]
        step.status, step.error = "running" if next_attempt_at else "failed", error
        step.attempts, step.next_attempt_at = attempts or step.attempts, next_attempt_at
        await session.flush()


async def finish_step(session: TenantSession, name: StepName, attempts: int | None = None) -> None:
    """A step is done; a second time changes nothing."""
    saga = await lock_saga(session)
    if saga is None or not saga.is_open(name):
        return
    now, step = clock.now(), saga.steps[name]
    step.status, step.finished_at, step.error, step.next_attempt_at = "done", now, None, None
    step.attempts = attempts or step.attempts
    done = {other.name for other in saga.steps.values() if other.status == "done"}
    if saga.provisioning.ready_at is None and done >= NEEDED_FOR_TOKEN:
        saga.provisioning.ready_at = now
    if done == set(STEPS):
        saga.provisioning.finished_at = now
    await session.flush()


@dataclass(frozen=True, slots=True)
class Saga:
    """A sign-up and its steps by name."""

    provisioning: ProvisioningRow
    steps: dict[str, StepRow]

    def is_open(self, name: StepName) -> bool:
        return self.steps[name].status != "done"


async def lock_saga(session: TenantSession) -> Saga | None:
    """The sign-up and its steps, locked together; None for a tenant that did not sign up here."""
    provisioning = await queries.lock_provisioning(session)
    if provisioning is None:
        return None
    return Saga(provisioning, {row.name: row for row in await queries.list_steps(session)})
