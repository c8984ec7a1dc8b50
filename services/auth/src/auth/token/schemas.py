"""Requests and answers."""

from pydantic import Field

from auth.token.rules import ACCESS_TOKEN_SECONDS
from common.ids import TenantId, UserId
from common.schema import Answer, Body


class SignUpTokenRequest(Body):
    """`ip` and `user_agent` are those of the person who signs up."""

    tenant_id: TenantId
    user_id: UserId
    ip: str = Field(default="", max_length=64)
    user_agent: str = Field(default="", max_length=255)


class Tokens(Answer):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - a scheme
    expires_in: int = ACCESS_TOKEN_SECONDS
    refresh_token: str
