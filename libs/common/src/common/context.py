"""Who acts, for which tenant: the only objects a tenant session can be opened with.

A `UserContext` is made by token verification, a `SystemContext` by consumers, jobs and provisioning.
Both are proven again inside the database (see `db/tenancy.sql`), so making one by hand opens nothing.

An `OperatorContext` is none of them: it has no tenant, and no session opens with it. To act for a tenant an
operator has to say which one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from common.contracts.envelope import Actor
from common.ids import PLATFORM_TENANT, Kind, to_text

Purpose = Literal["event", "job", "provisioning", "access", "token", "public", "platform"]
"""Closed list of reasons to act for a tenant without a user; the database knows the same list."""

TenantRole = Literal["owner", "admin", "member"]
WorkspaceRole = Literal["admin", "member", "viewer"]


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What the audit log keeps of the HTTP request behind an action."""

    request_id: str
    method: str
    route: str
    ip: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class UserContext:
    """A caller whose token was verified. `issued_at` is the token's `iat`."""

    tenant_id: UUID
    user_id: UUID
    session_id: UUID
    issued_at: datetime
    email: str
    request: RequestInfo

    @property
    def actor(self) -> Actor:
        return Actor(type="user", id=to_text(Kind.USER, self.user_id))


@dataclass(frozen=True, slots=True)
class SystemContext:
    """The platform acting for one tenant: a consumed event, a job, a sign-up."""

    tenant_id: UUID
    purpose: Purpose
    service: str
    request: RequestInfo | None = None
    on_behalf_of: Actor | None = None
    cause_id: str | None = None

    @property
    def actor(self) -> Actor:
        return self.on_behalf_of or Actor(type="system", id=self.service)


TenantContext = UserContext | SystemContext


@dataclass(frozen=True, slots=True)
class OperatorContext:
    """An operator of the platform whose token was verified."""

    operator_id: UUID
    email: str
    request: RequestInfo

    @property
    def actor(self) -> Actor:
        return Actor(type="operator", id=to_text(Kind.OPERATOR, self.operator_id))

    def acting_for(self, tenant_id: UUID, service: str) -> SystemContext:
        """The platform acting for one tenant, on this operator's word."""
        return SystemContext(tenant_id, "platform", service, request=self.request, on_behalf_of=self.actor)

    def at_the_platform(self, service: str) -> SystemContext:
        """The platform acting for itself, on this operator's word."""
        return self.acting_for(PLATFORM_TENANT, service)


Principal = UserContext | OperatorContext
"""Whoever made a request with a valid token."""
