"""Requests and answers."""

from typing import Annotated, Literal

from pydantic import Field

from common.contracts.tenants import Plan
from common.ids import TenantId, UserId, WorkspaceId
from common.schema import Answer, Body, Email, Text, Timestamp
from tenants.provisioning.rules import StepName

Status = Literal["running", "done", "failed"]


class TenantCreate(Body):
    company_name: Text = Field(examples=["Acme Ltd"])
    owner_email: Annotated[Email, Field(examples=["olga@acme.example"])]
    owner_name: Text = Field(examples=["Olga Owner"])
    plan: Plan


class TenantCreated(Answer):
    """The tokens are missing when the sign-up was repeated too late, or the owner has a password."""

    tenant_id: TenantId
    owner_user_id: UserId
    default_workspace_id: WorkspaceId
    onboarding_url: str
    access_token: str | None = None
    token_type: str | None = None
    expires_in: int | None = None
    refresh_token: str | None = None


class Step(Answer):
    name: StepName
    status: Literal["pending", "running", "done", "failed"]
    attempts: int
    started_at: Timestamp | None
    finished_at: Timestamp | None
    error: str | None = None


class Provisioning(Answer):
    status: Status
    steps: list[Step]


class PublicProvisioning(Answer):
    """What the bearer of a status URL learns; the ids once the tenant can be used."""

    status: Status
    tenant_id: TenantId | None = None
    owner_user_id: UserId | None = None
    default_workspace_id: WorkspaceId | None = None
    steps: list[Step] = Field(default_factory=list[Step])


class ExplainedStep(Step):
    """For operators."""

    next_attempt_at: Timestamp | None
    explanation: str | None


class SignUp(Answer):
    """A sign-up in a list. `stuck`: somebody should look at it."""

    tenant_id: TenantId
    status: Status
    stuck: bool
    started_at: Timestamp
    ready_at: Timestamp | None
    finished_at: Timestamp | None
    unfinished: list[StepName]


class Diagnosis(Answer):
    """A sign-up for operators."""

    tenant_id: TenantId
    status: Status
    stuck: bool
    started_at: Timestamp
    ready_at: Timestamp | None
    steps: list[ExplainedStep]
