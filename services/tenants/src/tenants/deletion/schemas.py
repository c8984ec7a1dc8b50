"""Requests and answers."""

from typing import Any, Literal

from common.ids import TenantId
from common.schema import Answer, Body, Text, Timestamp
from tenants.deletion.rules import Stage


class DeletionSummary(Answer):
    """A deletion for operators. `next_step_at`: not to be looked at before; `problem`: what stood in the last
    step's way; `reported` and `missing`: services that have said that they have erased the tenant, or not."""

    tenant_id: TenantId
    status: Stage
    scheduled_at: Timestamp
    erase_at: Timestamp
    begun_at: Timestamp | None
    deleted_at: Timestamp | None
    erased_at: Timestamp | None
    next_step_at: Timestamp
    certified_at: Timestamp | None
    attempts: int
    problem: str | None
    reported: list[str]
    missing: list[str]


class DeletionDetail(DeletionSummary):
    """`certificate`: what was erased, and what is kept and why; null until all of it is proven."""

    certificate: dict[str, Any] | None


class DeletionCreate(Body):
    """`company_name`: exactly as it stands in the settings, so that nobody deletes the wrong company."""

    company_name: Text


class Deletion(Answer):
    """`none`: the tenant is to stay. Until `erase_at` a scheduled deletion can be cancelled; from then on
    nothing can be read any more."""

    tenant_id: TenantId
    status: Literal["none", "scheduled"]
    scheduled_at: Timestamp | None = None
    erase_at: Timestamp | None = None
