"""Requests and answers."""

from typing import Annotated

from pydantic import Field, StringConstraints

from auth.operator.rules import TOKEN_SECONDS
from auth.password.rules import MAX_LENGTH
from common.ids import OperatorId
from common.schema import Answer, Body, Email, Timestamp


class OperatorLogin(Body):
    email: Email
    password: str = Field(min_length=1, max_length=MAX_LENGTH)


class OperatorCode(Body):
    mfa_token: str = Field(min_length=1, max_length=200, examples=["token_of_the_log_in"])
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")] = Field(examples=["492039"])


class OperatorToken(Answer):
    """There is no refresh token: an operator logs in again."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - a scheme
    expires_in: int = TOKEN_SECONDS


class OperatorAccount(Answer):
    operator_id: OperatorId
    email: str
    name: str
    mfa_enabled: bool
    created_at: Timestamp
