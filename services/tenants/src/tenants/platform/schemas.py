"""Requests and answers."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from common.contracts.tenants import Plan
from common.ids import TenantId, UserId, WorkspaceId
from common.schema import Answer, Body, Text, Timestamp
from tenants.tenant.schemas import FeatureFlags, InUse, LimitSettings

Status = Literal["active", "suspended", "deleting", "deleted"]


def _whole(value: Any) -> Any:
    """For JSON 600.0 is a whole number, too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Number = Annotated[StrictInt, Field(ge=0, le=2_000_000_000), BeforeValidator(_whole)]
FlagNumber = Annotated[StrictInt, Field(ge=1, le=1_000_000), BeforeValidator(_whole)]


class TenantSummary(Answer):
    """`suspensions`: each cause that keeps the tenant suspended."""

    tenant_id: TenantId
    company_name: str
    plan: Plan
    status: Status
    suspensions: list[str]
    created_at: Timestamp


class LimitOverrides(Answer):
    max_workspaces: int | None = None
    max_users: int | None = None
    email_sends_per_month: int | None = None


class FeatureOverrides(Answer):
    api_rate_limit: int | None = None
    data_retention_days: int | None = None
    custom_branding: bool | None = None
    beta_features: bool | None = None


class TenantDetail(TenantSummary):
    """The tenant as it is; null in an override: the plan decides."""

    owner_user_id: UserId
    default_workspace_id: WorkspaceId
    limits: LimitSettings
    features: FeatureFlags
    limit_overrides: LimitOverrides
    feature_overrides: FeatureOverrides
    usage: InUse


class Suspension(Body):
    reason: Text = Field(examples=["Sends to bought lists"])


class LimitsUpdate(Body):
    """What is left out stays; null lifts the override."""

    max_workspaces: Number | None = Field(default=None, examples=[20])
    max_users: Number | None = Field(default=None, examples=[10])
    email_sends_per_month: Number | None = Field(default=None, examples=[100_000])

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class FeatureUpdate(Body):
    value: StrictBool | FlagNumber = Field(examples=[600])
