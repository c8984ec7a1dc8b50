"""Looks verified custom domains up again: links use one only while DNS says so."""

from datetime import timedelta
from uuid import UUID

from common.context import SystemContext
from common.db.session import Database
from common.web.kernel import Kernel
from common.work import Rounds
from tenants.custom_domain import queries, service
from tenants.custom_domain.gateway import Dns, DnsAway
from tenants.custom_domain.rules import AGAIN, find_problem, required_records
from tenants.settings import TenantsSettings, settings_of
from tenants.tenant.queries import lock_company

_AT_A_TIME = 4
_POLL_SECONDS = 5.0
_LEASE = timedelta(minutes=1)


async def recheck_domains(kernel: Kernel) -> None:
    """Worker: until cancelled; then finish what is under way."""
    settings = settings_of(kernel)
    await Inspector(kernel.database, Dns(settings.dns_server), settings).rounds.run()


class Inspector:
    """Works on the domains of all tenants."""

    def __init__(self, database: Database, dns: Dns, settings: TenantsSettings) -> None:
        self._database = database
        self._dns = dns
        self._secret = settings.link_secret.get_secret_value()
        self._link_host = settings.link_host
        self.rounds = Rounds(
            "custom domains",
            "tenants",
            database,
            queries.list_due_tenants,
            self.work_on,
            at_a_time=_AT_A_TIME,
            poll=_POLL_SECONDS,
        )

    async def work_on(self, tenant_id: UUID) -> None:
        """Check the tenant's domain, if that is due. No answer says nothing; it is asked for again."""
        context = SystemContext(tenant_id, "job", "tenants")
        async with self._database.tenant(context) as session:
            asked = await queries.claim_due(session)
            if asked is None:
                return
            await queries.check_after(session, _LEASE)
            await session.commit()
        records = required_records(self._secret, tenant_id, asked.domain, self._link_host)
        try:
            problem = find_problem(records, *await self._dns.find(records))
        except DnsAway:
            async with self._database.tenant(context) as session:
                await queries.check_after(session, AGAIN)
                await session.commit()
            return
        async with self._database.tenant(context) as session:
            company = await lock_company(session)
            row = await queries.find_custom_domain(session)
            if row is not None and row.domain == asked.domain:
                await service.settle_again(session, company, row, problem, self._secret)
            await session.commit()
