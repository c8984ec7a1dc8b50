"""The workspaces of a tenant and their members as events, for `events snapshot`."""

from collections.abc import AsyncIterator
from typing import Literal, cast

from sqlalchemy import select

from common.contracts.auth import WorkspaceRoleName
from common.contracts.envelope import Event
from common.contracts.workspaces import WorkspaceDescribed, WorkspaceMemberDescribed
from common.db.session import TenantSession
from workspaces.models import MemberRow, WorkspaceRow


async def describe(session: TenantSession) -> AsyncIterator[Event]:
    """Workspaces, then memberships, ended ones too: their versions go on."""
    workspaces = select(WorkspaceRow).order_by(WorkspaceRow.workspace_id).with_for_update(read=True)
    for row in await session.scalars(workspaces):
        yield WorkspaceDescribed(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            version=row.version,
            name=row.name,
            slug=row.slug,
            status=cast(Literal["active", "archived"], row.status),
        )
    members = select(MemberRow).order_by(MemberRow.workspace_id, MemberRow.user_id)
    for row in await session.scalars(members.with_for_update(read=True)):
        yield WorkspaceMemberDescribed(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            user_id=row.user_id,
            version=row.version,
            role=cast(WorkspaceRoleName | None, row.role),
        )
