"""DNS, as the resolver of the settings sees it."""

import dns.asyncresolver
import dns.exception
import dns.resolver

from tenants.custom_domain.rules import DnsRecord

_SECONDS = 3.0
_PORT = 53


class DnsAway(Exception):
    """No answer that says anything; asking again may help."""


class Dns:
    """Looks records up."""

    def __init__(self, server: str) -> None:
        """`server`: address and optional port (`192.0.2.53:5353`); empty: the system's resolvers."""
        self._server = server

    async def find(self, records: tuple[DnsRecord, DnsRecord]) -> tuple[list[str], str | None]:
        """What stands where the two records should: texts and target.

        Raises:
            DnsAway: no answer that says anything.
        """
        ownership, links = records
        return await self.find_texts(ownership.name), await self.find_target(links.name)

    async def find_texts(self, name: str) -> list[str]:
        """The TXT records of a name, the strings of each put together."""
        answer = await self._find(name, "TXT")
        return [b"".join(record.strings).decode(errors="replace") for record in answer]

    async def find_target(self, name: str) -> str | None:
        """Where the name's CNAME leads, or None without one."""
        answer = await self._find(name, "CNAME")
        return next((str(record.target).rstrip(".").lower() for record in answer), None)

    async def _find(self, name: str, kind: str) -> dns.resolver.Answer | tuple[()]:
        try:
            return await self._resolver().resolve(f"{name}.", kind, lifetime=_SECONDS)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.exception.DNSException, OSError) as error:
            raise DnsAway from error

    def _resolver(self) -> dns.asyncresolver.Resolver:
        if not self._server:
            return dns.asyncresolver.Resolver()
        address, _, port = self._server.partition(":")
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [address]
        resolver.port = int(port or _PORT)
        return resolver
