"""Requests."""

from pydantic import Field

from common.schema import Body


class Refresh(Body):
    refresh_token: str = Field(min_length=1, max_length=200)
