"""Routes `/api/v1/platform/provisioning…`: sign-ups, and on with those that are stuck."""

from functools import partial
from typing import Annotated

from fastapi import Query

from common import clock
from common.ids import TenantId
from common.schema import Page
from common.web.deps import Cursor, Limit, Shared
from common.web.platform import AtThePlatform, InNamedTenant, platform_router
from tenants.platform.paging import cut_page
from tenants.provisioning.queries import WantedSignUps, find_sign_ups
from tenants.provisioning.repair import diagnose, resume, summarise
from tenants.provisioning.rules import STUCK_AFTER
from tenants.provisioning.schemas import Diagnosis, SignUp, Status

router = platform_router("/provisioning", "operators")

LISTING = "platform.sign_ups"
_STUCK = Query(description="Only those that somebody should look at: failed, or unfinished after a minute")


@router.get("", operation_id="listSignUps")
async def list_sign_ups(
    session: AtThePlatform,
    shared: Shared,
    status: Status | None = None,
    stuck: Annotated[bool, _STUCK] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[SignUp]:
    """Sign-ups of the platform, newest first."""
    wanted = WantedSignUps(status, clock.now() - STUCK_AFTER if stuck else None)
    find = partial(find_sign_ups, session, wanted)
    rows, next_cursor = await cut_page(session, shared.cursors, LISTING, find, limit=limit, cursor=cursor)
    return Page(data=[summarise(row) for row in rows], next_cursor=next_cursor)


@router.get("/{tenant_id}", operation_id="showSignUp")
async def show_sign_up(tenant_id: TenantId, session: InNamedTenant) -> Diagnosis:
    """One sign-up: each step, how often it was tried, what went wrong, and what it waits for."""
    return await diagnose(session)


@router.post("/{tenant_id}/resume", operation_id="resumeSignUp")
async def resume_sign_up(tenant_id: TenantId, session: InNamedTenant) -> Diagnosis:
    """Have every unfinished step tried now; what is finished is left alone. A step that another service has
    not answered goes on when that service does."""
    await resume(session)
    return await diagnose(session)
