"""Answers."""

from typing import Literal

from common.ids import TenantId, UserId, WorkspaceId
from common.schema import Answer, Timestamp


class Tenant(Answer):
    tenant_id: TenantId
    company_name: str
    plan: str
    status: str
    owner_user_id: UserId
    default_workspace_id: WorkspaceId
    created_at: Timestamp
    updated_at: Timestamp


class Branding(Answer):
    logo_url: str | None
    primary_color: str | None
    custom_domain: str | None


class LimitSettings(Answer):
    max_workspaces: int
    max_users: int
    email_sends_per_month: int


class Security(Answer):
    auto_lock: Literal["off", "high"]
    mfa_required: bool


class Settings(Answer):
    company_name: str
    company_address: str
    timezone: str
    date_format: str
    email_sender_name: str
    default_reply_to: str | None
    branding: Branding
    limits: LimitSettings
    security: Security


class TenantSettings(Answer):
    tenant_id: TenantId
    settings: Settings
