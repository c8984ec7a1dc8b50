"""Answers."""

from common.ids import TenantId
from common.schema import Answer, Timestamp
from tenants.tenant.schemas import LimitSettings


class Subscription(Answer):
    """`status` is Stripe's own; `pending` until the subscription stands there."""

    tenant_id: TenantId
    plan: str
    status: str
    limits: LimitSettings
    created_at: Timestamp
