"""Events of the `workspaces` service."""

from typing import ClassVar, Literal

from common.contracts.auth import WorkspaceRoleName
from common.contracts.envelope import Event, Life, Topic
from common.contracts.texts import Name, Slug
from common.ids import TenantId, UserId, WorkspaceId


class _WorkspaceEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.workspaces"
    SUBJECT: ClassVar[str] = "workspace_id"
    RESOURCE: ClassVar[str] = "workspace"

    tenant_id: TenantId
    workspace_id: WorkspaceId
    version: int


class WorkspaceCreated(_WorkspaceEvent):
    """A workspace exists; its creator is its first admin."""

    ACTION: ClassVar[str | None] = "workspace.created"
    LIFE: ClassVar[Life] = "birth"

    name: Name
    slug: Slug
    admin_id: UserId


class WorkspaceDescribed(_WorkspaceEvent):
    """The workspace as it is now, told again for projections."""

    ACTION: ClassVar[str | None] = None

    name: str
    slug: str
    status: Literal["active", "archived"]


class WorkspaceUpdated(_WorkspaceEvent):
    ACTION: ClassVar[str | None] = "workspace.updated"

    name: Name
    slug: Slug


class WorkspaceArchived(_WorkspaceEvent):
    ACTION: ClassVar[str | None] = "workspace.archived"
    LIFE: ClassVar[Life] = "death"


class WorkspaceMemberAdded(_WorkspaceEvent):
    """`version` is the membership's own version."""

    ACTION: ClassVar[str | None] = "workspace.member.added"

    user_id: UserId
    role: WorkspaceRoleName


class WorkspaceMemberRoleChanged(_WorkspaceEvent):
    ACTION: ClassVar[str | None] = "workspace.member.role_changed"

    user_id: UserId
    role: WorkspaceRoleName
    previous_role: WorkspaceRoleName


class WorkspaceMemberRemoved(_WorkspaceEvent):
    ACTION: ClassVar[str | None] = "workspace.member.removed"

    user_id: UserId


class WorkspaceMemberDescribed(_WorkspaceEvent):
    """A membership as it is now, told again for projections; without a role it has ended."""

    ACTION: ClassVar[str | None] = None

    user_id: UserId
    role: WorkspaceRoleName | None
