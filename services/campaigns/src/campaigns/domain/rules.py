"""Pure rules of domains: which names they may have, and which DNS records they need."""

from dataclasses import dataclass
from typing import Literal

from common.hostnames import MAX_NAME, normal_host

SELECTOR_PREFIX = "pm"
SELECTOR_HEX = 12
_DKIM = "._domainkey."
MAX_DOMAIN = MAX_NAME - len(SELECTOR_PREFIX) - SELECTOR_HEX - len(_DKIM)
"""The longest domain that leaves room for the name of its DKIM record (a DNS name has 253 characters)."""
_TXT_STRING = 255


def normal_domain(text: str) -> str:
    """See `normal_host`."""
    return normal_host(text, MAX_DOMAIN)


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """A record to create. `value` is logical; `zone_line` is how a zone file says it (RFC 1035)."""

    purpose: Literal["ownership", "dkim", "spf", "dmarc", "return_path"]
    type: Literal["TXT", "CNAME"]
    name: str
    value: str

    @property
    def zone_line(self) -> str:
        if self.type == "CNAME":
            return f"{self.name}. IN CNAME {self.value}."
        starts = range(0, len(self.value), _TXT_STRING)
        strings = " ".join(f'"{self.value[start : start + _TXT_STRING]}"' for start in starts)
        return f"{self.name}. IN TXT {strings}"


def records_of(
    domain: str, ownership_token: str, selector: str, public_key: str, mail_host: str
) -> tuple[DnsRecord, ...]:
    """What must stand in DNS before mail from the domain is authentic; `public_key` in base64."""
    return (
        DnsRecord(
            "ownership", "TXT", f"_penguinmails.{domain}", f"penguinmails-verification={ownership_token}"
        ),
        DnsRecord("dkim", "TXT", f"{selector}{_DKIM}{domain}", f"v=DKIM1; k=rsa; p={public_key}"),
        DnsRecord("spf", "TXT", domain, f"v=spf1 include:spf.{mail_host} ~all"),
        DnsRecord("dmarc", "TXT", f"_dmarc.{domain}", "v=DMARC1; p=none"),
        DnsRecord("return_path", "CNAME", f"pm-bounces.{domain}", f"bounces.{mail_host}"),
    )
