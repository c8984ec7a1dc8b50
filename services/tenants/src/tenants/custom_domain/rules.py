"""Pure rules of custom domains: what must stand in DNS, and which host links use."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from common.hostnames import MAX_NAME, is_within, normal_host
from tenants.provisioning.rules import keyed_hash

_OWNERSHIP = "_penguinmails"
_TOKEN_BYTES = 16
DAILY = timedelta(days=1)
"""How often a domain in use is looked up."""
AGAIN = timedelta(hours=1)
"""After a look that found a record missing, or nobody to ask."""
MAX_DOMAIN = MAX_NAME - len(_OWNERSHIP) - 1
"""The longest domain that leaves room for its ownership record."""

Problem = Literal["ownership_missing", "links_missing"]


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """A record to create."""

    purpose: Literal["ownership", "links"]
    type: Literal["TXT", "CNAME"]
    name: str
    value: str


def normal_domain(text: str) -> str:
    """See `normal_host`."""
    return normal_host(text, MAX_DOMAIN)


def records_of(domain: str, token: str, link_host: str) -> tuple[DnsRecord, DnsRecord]:
    """What must stand in DNS before links use the domain: who may say so, and where it leads.

    A name that merely still leads here says nothing of its owner: he may have left long ago.
    """
    owner = f"{_OWNERSHIP}.{domain}"
    return (
        DnsRecord("ownership", "TXT", owner, f"penguinmails-verification={token}"),
        DnsRecord("links", "CNAME", domain, link_host),
    )


def required_records(
    secret: str, tenant_id: UUID, domain: str, link_host: str
) -> tuple[DnsRecord, DnsRecord]:
    """What must stand in DNS for this tenant's domain."""
    return records_of(domain, ownership_token(secret, tenant_id, domain), link_host)


def find_problem(
    records: tuple[DnsRecord, DnsRecord], texts: Collection[str], target: str | None
) -> Problem | None:
    """What is missing in DNS, given the TXT records and the CNAME found there."""
    ownership, links = records
    if ownership.value not in texts:
        return "ownership_missing"
    return None if target == links.value else "links_missing"


def ownership_token(secret: str, tenant_id: UUID, domain: str) -> str:
    """Another for every tenant and domain."""
    return keyed_hash(secret, "custom domain owner", f"{tenant_id}|{domain}")[:_TOKEN_BYTES].hex()


def claim_hash(secret: str, domain: str) -> bytes:
    """What the table of claims knows of a domain."""
    return keyed_hash(secret, "custom domain", domain)


def is_reserved(domain: str, own_hosts: Collection[str]) -> bool:
    """Whether it is one of the platform's own hosts or below one."""
    return any(is_within(domain, host) for host in own_hosts)
