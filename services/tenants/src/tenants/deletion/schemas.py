"""Requests and answers."""

from typing import Literal

from common.ids import TenantId
from common.schema import Answer, Body, Text, Timestamp


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
