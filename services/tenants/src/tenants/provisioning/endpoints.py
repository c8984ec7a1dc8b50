"""Routes of sign-up: `POST /api/v1/tenants` and its progress."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response
from starlette.requests import Request

from common import clock
from common.context import SystemContext
from common.db.session import TenantSession
from common.errors import NotFound
from common.ids import Kind, TenantId, to_text
from common.web.deps import Session, Shared, owner_or_admin
from common.web.routes import PUBLIC_PROBLEMS, note_quota, public_router, request_info, tenant_router
from tenants.parts import Parts
from tenants.provisioning import queries
from tenants.provisioning.desk import Desk, Outcome
from tenants.provisioning.rules import MIN_KEY_LENGTH, overall_status, read_link, sign_link
from tenants.provisioning.schemas import (
    Provisioning,
    PublicProvisioning,
    Step,
    TenantCreate,
    TenantCreated,
)
from tenants.tenant.queries import get_company

router: APIRouter = public_router("/tenants", "sign-up")
tenant_routes: APIRouter = tenant_router("/tenants/{tenant_id}/provisioning", "tenants")

_RETRY_SECONDS = 2
_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"model": PublicProvisioning, "description": "Not ready yet; `Location` says how it goes on"},
    429: {**PUBLIC_PROBLEMS[422], "description": "Too many sign-ups from this address"},
}

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=MIN_KEY_LENGTH, max_length=255, description="A UUID, or at least 32 characters"),
]


async def throttle(request: Request, shared: Shared, parts: Parts) -> None:
    address, most = request_info(request).ip, parts.settings.signup_rate_per_minute
    note_quota(request, await shared.rate_limiter.take_address("sign-up", address, most))


@router.post(
    "",
    status_code=201,
    operation_id="createTenant",
    response_model=TenantCreated | PublicProvisioning,
    response_model_exclude_none=True,
    responses=_ANSWERS,
    dependencies=[Depends(throttle)],
)
async def create_tenant(
    body: TenantCreate,
    request: Request,
    response: Response,
    shared: Shared,
    parts: Parts,
    idempotency_key: IdempotencyKey = None,
) -> TenantCreated | PublicProvisioning:
    """Sign up: a tenant, its owner, its first workspace, and the owner's first tokens."""
    secret = parts.settings.link_secret.get_secret_value()
    desk = Desk(shared.database, parts.auth, parts.waiting, secret, request_info(request))
    outcome = await desk.sign_up(body, idempotency_key)
    response.headers["Cache-Control"] = "no-store"
    if not outcome.ready:
        return _not_ready(outcome, secret, response)
    tenant = to_text(Kind.TENANT, outcome.allocation.tenant_id)
    response.headers["Location"] = f"/api/v1/tenants/{tenant}"
    if outcome.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return _created(outcome, tenant)


def _not_ready(outcome: Outcome, secret: str, response: Response) -> PublicProvisioning:
    response.status_code = 202
    link = sign_link(secret, outcome.allocation.tenant_id)
    response.headers["Location"] = f"/api/v1/tenants/provisioning/{link}"
    response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return PublicProvisioning(status="running")


def _created(outcome: Outcome, tenant: str) -> TenantCreated:
    created = TenantCreated(
        tenant_id=outcome.allocation.tenant_id,
        owner_user_id=outcome.allocation.owner_user_id,
        default_workspace_id=outcome.allocation.default_workspace_id,
        onboarding_url=f"/onboarding?tenant_id={tenant}",
    )
    tokens = outcome.tokens
    if tokens is None:
        return created
    return created.model_copy(
        update={
            "access_token": tokens.access_token,
            "token_type": tokens.token_type,
            "expires_in": tokens.expires_in,
            "refresh_token": tokens.refresh_token,
        }
    )


@router.get("/provisioning/{signed}", operation_id="getSignUpStatus", response_model_exclude_none=True)
async def get_sign_up_status(
    signed: str, response: Response, shared: Shared, parts: Parts
) -> PublicProvisioning:
    """How a sign-up goes on; the URL itself is the permission, for a day."""
    tenant_id = read_link(parts.settings.link_secret.get_secret_value(), signed, clock.now())
    if tenant_id is None:
        raise NotFound
    async with shared.database.tenant(SystemContext(tenant_id, "public", shared.service)) as session:
        answer = await _public_progress(session)
    response.headers["Cache-Control"] = "no-store"
    if answer.status == "running":
        response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return answer


async def _public_progress(session: TenantSession) -> PublicProvisioning:
    progress = await _progress(session)
    if (await queries.get_provisioning(session)).ready_at is None:
        return PublicProvisioning(status=progress.status, steps=progress.steps)
    company = await get_company(session)
    return PublicProvisioning(
        status=progress.status,
        steps=progress.steps,
        tenant_id=company.tenant_id,
        owner_user_id=company.owner_user_id,
        default_workspace_id=company.default_workspace_id,
    )


@tenant_routes.get("", operation_id="getProvisioning", dependencies=[owner_or_admin])
async def get_provisioning(tenant_id: TenantId, session: Session) -> Provisioning:
    """The steps of the tenant's sign-up."""
    return await _progress(session)


async def _progress(session: TenantSession) -> Provisioning:
    await queries.get_provisioning(session)
    steps = [Step.model_validate(row) for row in await queries.list_steps(session)]
    return Provisioning(status=overall_status({step.name: step.status for step in steps}), steps=steps)
