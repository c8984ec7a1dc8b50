"""What every service knows of tenants, members and workspace roles, kept up to date by events.

All writes are guarded by the aggregate's version, so an old or repeated event changes nothing, and none
refers to a row of another producer, so the order across topics does not matter.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from common.context import SystemContext
from common.contracts.auth import (
    OperatorTokensRevoked,
    SessionDescribed,
    SessionEnded,
    SessionsRevoked,
    UserDeactivated,
    UserDescribed,
    UserRegistered,
    UserRenamed,
    UserRoleChanged,
)
from common.contracts.envelope import Event
from common.contracts.tenants import (
    TenantDeleted,
    TenantDeletionCancelled,
    TenantDeletionScheduled,
    TenantDescribed,
    TenantErasureAwaited,
    TenantExportRequested,
    TenantFeaturesUpdated,
    TenantLimitsUpdated,
    TenantPlanChanged,
    TenantProvisioned,
    TenantReactivated,
    TenantSettingsUpdated,
    TenantSuspended,
)
from common.contracts.workspaces import (
    WorkspaceArchived,
    WorkspaceCreated,
    WorkspaceDescribed,
    WorkspaceMemberAdded,
    WorkspaceMemberDescribed,
    WorkspaceMemberRemoved,
    WorkspaceMemberRoleChanged,
)
from common.db.session import TenantSession

Handler = Callable[[TenantSession, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Skippable:
    """A handler for whose dead letters nothing waits: later events of the aggregate are handled before.

    For effects that do not depend on the order of events. All other handlers keep it.
    """

    handler: Handler

    async def __call__(self, session: TenantSession, event: Any) -> None:
        await self.handler(session, event)


_TENANT = text("""
INSERT INTO tenancy.tenants AS t (tenant_id, name, status, plan, limits, features, version)
VALUES (:tenant, :name, :status, :plan, CAST(:limits AS jsonb), CAST(:features AS jsonb), :version)
ON CONFLICT (tenant_id) DO UPDATE SET
    name = excluded.name, status = excluded.status, plan = excluded.plan, limits = excluded.limits,
    features = excluded.features, version = excluded.version
WHERE t.tenant_id = :tenant AND t.version < excluded.version
""")
_TENANT_STATUS = text("""
UPDATE tenancy.tenants SET status = :status, version = :version
WHERE tenant_id = :tenant AND version < :version
""")
# What is left of a deleted tenant: no event, late or repeated, can make it again.
_TOMBSTONE = text("""
INSERT INTO tenancy.tenants AS t (tenant_id, name, status, plan, limits, features, version)
VALUES (:tenant, '', 'deleted', '', '{}', '{}', :version)
ON CONFLICT (tenant_id) DO UPDATE SET
    name = '', status = 'deleted', plan = '', limits = '{}', features = '{}',
    version = greatest(t.version, excluded.version)
WHERE t.tenant_id = :tenant
""")
# Who has erased the tenant before erases again: what was told may be lost, or rows have come back since.
_ERASURE = text("""
INSERT INTO tenancy.erasures AS e (tenant_id) VALUES (:tenant)
ON CONFLICT (tenant_id) DO UPDATE SET fenced_at = NULL, erased_at = NULL, next_step_at = clock_timestamp()
WHERE e.tenant_id = :tenant AND e.erased_at IS NOT NULL
""")
_TOMBSTONE_IS_LOST = text("""
SELECT true FROM tenancy.erasures WHERE tenant_id = :tenant AND NOT EXISTS (
    SELECT FROM tenancy.tenants AS t WHERE t.tenant_id = :tenant AND t.status = 'deleted')
""")
_EXPORT = text("""
INSERT INTO tenancy.exports (tenant_id, job_id, version) VALUES (:tenant, :job, :version)
ON CONFLICT (tenant_id, job_id) DO NOTHING
""")
_TENANT_NAME = text("""
UPDATE tenancy.tenants SET name = :name, version = :version
WHERE tenant_id = :tenant AND version < :version
""")
_TENANT_FEATURES = text("""
UPDATE tenancy.tenants SET features = CAST(:features AS jsonb), version = :version
WHERE tenant_id = :tenant AND version < :version
""")
_TENANT_LIMITS = text("""
UPDATE tenancy.tenants SET limits = CAST(:limits AS jsonb), version = :version
WHERE tenant_id = :tenant AND version < :version
""")
_TENANT_PLAN = text("""
UPDATE tenancy.tenants SET plan = :plan, limits = CAST(:limits AS jsonb),
    features = CAST(:features AS jsonb), version = :version
WHERE tenant_id = :tenant AND version < :version
""")
_MEMBER = text("""
INSERT INTO tenancy.members AS m (tenant_id, member_id, email, name, role, version)
VALUES (:tenant, :member, :email, :name, :role, :version)
ON CONFLICT (tenant_id, member_id) DO UPDATE SET
    email = excluded.email, name = excluded.name, role = excluded.role, version = excluded.version
WHERE m.tenant_id = :tenant AND m.version < excluded.version
""")
_MEMBER_WHOLE = text("""
INSERT INTO tenancy.members AS m
    (tenant_id, member_id, email, name, role, status, tokens_valid_from, version)
VALUES (:tenant, :member, :email, :name, :role, :status,
        coalesce(CAST(:valid_from AS timestamptz), '-infinity'), :version)
ON CONFLICT (tenant_id, member_id) DO UPDATE SET
    email = excluded.email, name = excluded.name, role = excluded.role, status = excluded.status,
    tokens_valid_from = excluded.tokens_valid_from, version = excluded.version
WHERE m.tenant_id = :tenant AND m.version < excluded.version
""")
_MEMBER_ROLE = text("""
UPDATE tenancy.members SET role = :role, version = :version
WHERE tenant_id = :tenant AND member_id = :member AND version < :version
""")
_MEMBER_NAME = text("""
UPDATE tenancy.members SET name = :name, version = :version
WHERE tenant_id = :tenant AND member_id = :member AND version < :version
""")
# Without a version guard: revocations only ever move forward, whatever the order of arrival.
_MEMBER_OUT = text("""
UPDATE tenancy.members SET
    status = CASE WHEN :deactivate THEN 'deactivated' ELSE status END,
    tokens_valid_from = greatest(tokens_valid_from, :before),
    version = greatest(version, :version)
WHERE tenant_id = :tenant AND member_id = :member
""")
_REVOKE_SESSION = text("""
INSERT INTO tenancy.revocations (tenant_id, session_id, revoked_at) VALUES (:tenant, :session, :at)
ON CONFLICT (tenant_id, session_id) DO NOTHING
""")
_WORKSPACE = text("""
INSERT INTO tenancy.workspaces AS w (tenant_id, workspace_id, status, version)
VALUES (:tenant, :workspace, :status, :version)
ON CONFLICT (tenant_id, workspace_id) DO UPDATE SET status = excluded.status, version = excluded.version
WHERE w.tenant_id = :tenant AND w.version < excluded.version
""")
_WORKSPACE_ROLE = text("""
INSERT INTO tenancy.workspace_roles AS r (tenant_id, workspace_id, user_id, role, version)
VALUES (:tenant, :workspace, :user, :role, :version)
ON CONFLICT (tenant_id, workspace_id, user_id) DO UPDATE SET role = excluded.role, version = excluded.version
WHERE r.tenant_id = :tenant AND r.version < excluded.version
""")


async def project_tenant(session: TenantSession, event: TenantProvisioned) -> None:
    """Tenant, owner and default workspace, complete from this one event."""
    await _put_tenant(session, event, "active")
    owner, workspace = event.owner, event.default_workspace
    await _put_member(session, owner.user_id, owner.email, owner.name, "owner", 1)
    await _put_workspace(session, workspace.workspace_id, "active", 1)
    await _put_role(session, workspace.workspace_id, owner.user_id, "admin", 1)


async def project_described_tenant(session: TenantSession, event: TenantDescribed) -> None:
    if event.status == "deleted":
        await _bury(session, event.version)
        return
    await _put_tenant(session, event, event.status)


async def project_suspension(session: TenantSession, event: TenantSuspended) -> None:
    await _put_tenant_status(session, "suspended", event.version)


async def project_reactivation(session: TenantSession, event: TenantReactivated) -> None:
    await _put_tenant_status(session, "active", event.version)


async def project_scheduled_deletion(session: TenantSession, event: TenantDeletionScheduled) -> None:
    await _put_tenant_status(session, "deleting", event.version)


async def project_cancelled_deletion(session: TenantSession, event: TenantDeletionCancelled) -> None:
    await _put_tenant_status(session, event.status, event.version)


async def project_deletion(session: TenantSession, event: TenantDeleted) -> None:
    """Let nobody in any more, and have `common.erasure` erase what there is."""
    await _bury(session, event.version)


async def project_awaited_erasure(session: TenantSession, event: TenantErasureAwaited) -> None:
    """Let `common.erasure` erase and tell, also when it has; whoever has told already is not meant."""
    context = session.context
    if isinstance(context, SystemContext) and context.service in event.services:
        await _bury(session, event.version)


async def note_export(session: TenantSession, event: TenantExportRequested) -> None:
    """Have `common.exporting` write what there is."""
    values = {"tenant": session.tenant_id, "job": event.job_id, "version": event.version}
    await session.execute(_EXPORT, values)


async def project_tenant_name(session: TenantSession, event: TenantSettingsUpdated) -> None:
    values = {"tenant": session.tenant_id, "name": event.company_name, "version": event.version}
    await session.execute(_TENANT_NAME, values)


async def project_tenant_features(session: TenantSession, event: TenantFeaturesUpdated) -> None:
    values = {"features": event.features.model_dump_json(), "version": event.version}
    await session.execute(_TENANT_FEATURES, {"tenant": session.tenant_id, **values})


async def project_tenant_limits(session: TenantSession, event: TenantLimitsUpdated) -> None:
    values = {"limits": event.limits.model_dump_json(), "version": event.version}
    await session.execute(_TENANT_LIMITS, {"tenant": session.tenant_id, **values})


async def project_plan(session: TenantSession, event: TenantPlanChanged) -> None:
    values = {"plan": event.plan, "limits": event.limits.model_dump_json(), "version": event.version}
    features = event.features.model_dump_json()
    await session.execute(_TENANT_PLAN, {"tenant": session.tenant_id, "features": features, **values})


async def project_user(session: TenantSession, event: UserRegistered) -> None:
    await _put_member(session, event.user_id, event.email, event.name, event.role, event.version)
    for membership in event.memberships:
        await _put_role(session, membership.workspace_id, event.user_id, membership.role, 1)


async def project_described_user(session: TenantSession, event: UserDescribed) -> None:
    values = event.model_dump(include={"email", "name", "role", "status", "valid_from", "version"})
    await session.execute(_MEMBER_WHOLE, {"tenant": session.tenant_id, "member": event.user_id, **values})


async def project_described_session(session: TenantSession, event: SessionDescribed) -> None:
    values = {"tenant": session.tenant_id, "session": event.session_id, "at": event.ended_at}
    await session.execute(_REVOKE_SESSION, values)


async def project_user_role(session: TenantSession, event: UserRoleChanged) -> None:
    values = {"member": event.user_id, "role": event.role, "version": event.version}
    await session.execute(_MEMBER_ROLE, {"tenant": session.tenant_id, **values})


async def project_user_name(session: TenantSession, event: UserRenamed) -> None:
    values = {"member": event.user_id, "name": event.name, "version": event.version}
    await session.execute(_MEMBER_NAME, {"tenant": session.tenant_id, **values})


async def project_deactivation(session: TenantSession, event: UserDeactivated) -> None:
    values = {"member": event.user_id, "before": event.at, "version": event.version, "deactivate": True}
    await session.execute(_MEMBER_OUT, {"tenant": session.tenant_id, **values})


async def project_sessions_revoked(session: TenantSession, event: SessionsRevoked) -> None:
    values = {"member": event.user_id, "before": event.before, "version": event.version}
    await session.execute(_MEMBER_OUT, {"tenant": session.tenant_id, "deactivate": False, **values})


async def project_session_end(session: TenantSession, event: SessionEnded) -> None:
    values = {"tenant": session.tenant_id, "session": event.session_id, "at": event.at}
    await session.execute(_REVOKE_SESSION, values)


async def project_operators_end(session: TenantSession, event: OperatorTokensRevoked) -> None:
    """An operator has no sessions, so their id stands for all of them."""
    values = {"tenant": session.tenant_id, "session": event.operator_id, "at": event.at}
    await session.execute(_REVOKE_SESSION, values)


async def project_workspace(session: TenantSession, event: WorkspaceCreated) -> None:
    await _put_workspace(session, event.workspace_id, "active", event.version)
    await _put_role(session, event.workspace_id, event.admin_id, "admin", 1)


async def project_described_workspace(session: TenantSession, event: WorkspaceDescribed) -> None:
    await _put_workspace(session, event.workspace_id, event.status, event.version)


async def project_archival(session: TenantSession, event: WorkspaceArchived) -> None:
    await _put_workspace(session, event.workspace_id, "archived", event.version)


async def project_membership(
    session: TenantSession,
    event: WorkspaceMemberAdded | WorkspaceMemberRoleChanged | WorkspaceMemberDescribed,
) -> None:
    await _put_role(session, event.workspace_id, event.user_id, event.role, event.version)


async def project_membership_end(session: TenantSession, event: WorkspaceMemberRemoved) -> None:
    await _put_role(session, event.workspace_id, event.user_id, None, event.version)


PROJECTIONS: dict[type[Event], Handler] = {
    TenantProvisioned: project_tenant,
    TenantDescribed: project_described_tenant,
    TenantSuspended: project_suspension,
    TenantReactivated: project_reactivation,
    TenantDeletionScheduled: project_scheduled_deletion,
    TenantDeletionCancelled: project_cancelled_deletion,
    TenantDeleted: project_deletion,
    TenantErasureAwaited: project_awaited_erasure,
    TenantExportRequested: note_export,
    TenantSettingsUpdated: project_tenant_name,
    TenantFeaturesUpdated: project_tenant_features,
    TenantLimitsUpdated: project_tenant_limits,
    TenantPlanChanged: project_plan,
    UserRegistered: project_user,
    UserDescribed: project_described_user,
    UserRoleChanged: project_user_role,
    UserRenamed: project_user_name,
    UserDeactivated: project_deactivation,
    SessionsRevoked: project_sessions_revoked,
    SessionEnded: project_session_end,
    SessionDescribed: project_described_session,
    OperatorTokensRevoked: project_operators_end,
    WorkspaceCreated: project_workspace,
    WorkspaceDescribed: project_described_workspace,
    WorkspaceArchived: project_archival,
    WorkspaceMemberAdded: project_membership,
    WorkspaceMemberDescribed: project_membership,
    WorkspaceMemberRoleChanged: project_membership,
    WorkspaceMemberRemoved: project_membership_end,
}
"""Run by every service's consumer before the service's own handler, in the same transaction."""


async def restore_tombstone(session: TenantSession) -> None:
    """Put up again what says that the tenant is deleted, where that was lost after its erasure began."""
    if await session.scalar(_TOMBSTONE_IS_LOST, {"tenant": session.tenant_id}):
        await _bury(session, 1)


async def _bury(session: TenantSession, version: int) -> None:
    await session.execute(_TOMBSTONE, {"tenant": session.tenant_id, "version": version})
    await session.execute(_ERASURE, {"tenant": session.tenant_id})


async def _put_tenant(
    session: TenantSession, event: TenantProvisioned | TenantDescribed, status: str
) -> None:
    await session.execute(
        _TENANT,
        {
            "tenant": session.tenant_id,
            "name": event.company_name,
            "status": status,
            "plan": event.plan,
            "limits": event.limits.model_dump_json(),
            "features": event.features.model_dump_json(),
            "version": event.version,
        },
    )


async def _put_tenant_status(session: TenantSession, status: str, version: int) -> None:
    values = {"tenant": session.tenant_id, "status": status, "version": version}
    await session.execute(_TENANT_STATUS, values)


async def _put_member(
    session: TenantSession, member: object, email: str, name: str, role: str, version: int
) -> None:
    values = {"member": member, "email": email, "name": name, "role": role, "version": version}
    await session.execute(_MEMBER, {"tenant": session.tenant_id, **values})


async def _put_workspace(session: TenantSession, workspace: object, status: str, version: int) -> None:
    values = {"workspace": workspace, "status": status, "version": version}
    await session.execute(_WORKSPACE, {"tenant": session.tenant_id, **values})


async def _put_role(
    session: TenantSession, workspace: object, user: object, role: str | None, version: int
) -> None:
    values = {"workspace": workspace, "user": user, "role": role, "version": version}
    await session.execute(_WORKSPACE_ROLE, {"tenant": session.tenant_id, **values})
