"""Answers and filters."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from common.ids import AuditEventId, TenantId
from common.schema import Answer, Moment, Text, Timestamp

Outcome = Literal["success", "denied", "error"]
Severity = Literal["info", "low", "medium", "high", "critical"]
Flag = Literal["not_found", "cross_tenant_attempt", "isolation_breach"]


class Filters(BaseModel):
    """Which events to list; all given ones must hold."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    actor: Annotated[Text | None, Query(description="Id of who did it", examples=["user_…"])] = None
    action: Annotated[Text | None, Query(examples=["workspace.member.added"])] = None
    target: Annotated[Text | None, Query(description="Id of what it was done to")] = None
    outcome: Outcome | None = None
    flag: Flag | None = None
    severity: Severity | None = None
    since: Moment | None = Field(default=None, alias="from", description="Not before (RFC 3339)")
    until: Moment | None = Field(default=None, alias="to", description="Before (RFC 3339)")
    q: Annotated[Text | None, Query(description="Part of an id, action, address or route")] = None


class Actor(Answer):
    type: str
    id: str | None
    email: str | None
    ip: str | None
    user_agent: str | None


class Target(Answer):
    type: str | None
    id: str


class HttpRequest(Answer):
    method: str | None
    route: str | None
    request_id: str | None
    status: int | None


class AuditEvent(Answer):
    """One line of the log. `request` is null where no HTTP request is behind it or none may be shown."""

    event_id: AuditEventId
    occurred_at: Timestamp
    recorded_at: Timestamp
    tenant_id: TenantId
    action: str
    actor: Actor
    target: Target | None
    outcome: Outcome
    severity: Severity
    flags: list[Flag]
    request: HttpRequest | None
    trace_id: str | None
    source: str
    changes: dict[str, Any] | None = None
