"""Requests."""

from typing import Annotated

from pydantic import Field, StringConstraints

from auth.password.rules import MAX_LENGTH, MIN_LENGTH
from common.schema import Body

NewPassword = Annotated[str, StringConstraints(min_length=MIN_LENGTH, max_length=MAX_LENGTH)]


class PasswordReset(Body):
    token: str = Field(min_length=1, max_length=200, description="The secret of the mailed link")
    password: NewPassword = Field(examples=["a walrus on a bicycle"])
