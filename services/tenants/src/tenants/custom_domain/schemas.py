"""Answers."""

from typing import Literal

from pydantic import Field

from common.ids import TenantId
from common.schema import Answer, Timestamp
from tenants.custom_domain.rules import Problem


class LinkRecord(Answer):
    """A DNS record to create."""

    purpose: Literal["ownership", "links"]
    type: Literal["TXT", "CNAME"]
    name: str
    value: str


class CustomDomain(Answer):
    """`link_host` is what links use now; `problem`: what the last check did not find in DNS.

    A verified domain is looked up every day; with a problem, again after an hour, and then it is `pending`.
    """

    tenant_id: TenantId
    domain: str | None = None
    status: Literal["none", "pending", "verified"]
    link_host: str
    records: list[LinkRecord] = Field(default_factory=list[LinkRecord])
    problem: Problem | None = None
    checked_at: Timestamp | None = None
