"""Requests and answers."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from campaigns.domain.rules import normal_domain
from common.ids import DomainId, WorkspaceId
from common.schema import Answer, Body, Text, Timestamp

DomainName = Annotated[
    Text,
    AfterValidator(normal_domain),
    WithJsonSchema({"type": "string", "format": "hostname", "maxLength": 255}),
]
"""A host name, normalised; internationalised names become A-labels."""


class DomainCreate(Body):
    workspace_id: WorkspaceId
    domain: DomainName = Field(examples=["news.acme.example"])


class DnsRecord(Answer):
    """`value` is for a form, `zone_line` for a zone file."""

    purpose: Literal["ownership", "dkim", "spf", "dmarc", "return_path"]
    type: Literal["TXT", "CNAME"]
    name: str
    value: str
    zone_line: str


class DomainSummary(Answer):
    """A domain in a list: without its records."""

    domain_id: DomainId
    workspace_id: WorkspaceId
    domain: str
    status: Literal["pending"]
    created_at: Timestamp
    updated_at: Timestamp


class Domain(DomainSummary):
    records: list[DnsRecord]
