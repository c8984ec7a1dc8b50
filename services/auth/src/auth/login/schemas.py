"""Requests and answers."""

from pydantic import Field

from auth.password.rules import MAX_LENGTH
from auth.token.schemas import Tokens
from common.context import TenantRole
from common.ids import TenantId, UserId
from common.schema import Answer, Body, Email


class Login(Body):
    """`tenant_id` chooses when one password opens accounts in several tenants."""

    email: Email
    password: str = Field(min_length=1, max_length=MAX_LENGTH)
    tenant_id: TenantId | None = None


class LoggedInUser(Answer):
    user_id: UserId
    tenant_id: TenantId
    email: str
    name: str
    role: TenantRole


class LoggedIn(Tokens):
    user: LoggedInUser
