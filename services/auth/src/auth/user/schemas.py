"""Requests and answers."""

from typing import Annotated, Literal

from common.context import TenantRole
from common.ids import UserId
from common.schema import Answer, Body, NotNull, Text, Timestamp


class User(Answer):
    user_id: UserId
    email: str
    name: str
    role: TenantRole
    status: Literal["active", "deactivated"]
    mfa_enabled: bool
    created_at: Timestamp
    updated_at: Timestamp


class UserUpdate(Body):
    """What is left out stays. `role` is for owners and admins to change."""

    name: Annotated[Text | None, NotNull] = None
    role: Annotated[TenantRole | None, NotNull] = None
