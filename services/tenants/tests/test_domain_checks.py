"""Custom domains looked up again by themselves, and names that nobody can keep without DNS."""

from datetime import UTC, datetime, timedelta

import pytest
from services.tenants.tests.branding import PLATFORM, choose, publish, told, verify
from services.tenants.tests.company import Company, found
from services.tenants.tests.name_server import NameServer, name_server
from services.tenants.tests.world import Office

from common.context import SystemContext
from common.contracts.tenants import TenantDescribed
from common.testing.harness import Harness
from tenants.custom_domain.gateway import Dns
from tenants.custom_domain.worker import Inspector
from tenants.parts import TenantsParts
from tenants.settings import settings_of
from tenants.snapshot import describe


@pytest.fixture
async def company(service: Harness, zone: NameServer, office: Office, domain: str) -> Company:
    """The only one with a verified domain; a look at it is due."""
    await office.fetch("UPDATE tenants.custom_domains SET next_check_at = 'infinity'")
    made = await found(service, "enterprise")
    await choose(made, domain)
    await publish(made, zone, "ownership", "links")
    assert told(await verify(made)) == ("verified", None, domain)
    await be_due(made, office)
    return made


@pytest.fixture
def inspector(service: Harness, zone: NameServer) -> Inspector:
    """One that asks the same DNS as the routes."""
    parts: TenantsParts = service.client._transport.app._app.state.parts  # type: ignore[attr-defined]
    return Inspector(service.kernel.database, parts.dns, settings_of(service.kernel))


async def be_due(company: Company, office: Office) -> None:
    statement = "UPDATE tenants.custom_domains SET next_check_at = now() WHERE tenant_id = $1"
    await office.fetch(statement, company.tenant.tenant_id)


async def waits(company: Company, office: Office) -> timedelta:
    statement = "SELECT next_check_at FROM tenants.custom_domains WHERE tenant_id = $1"
    ((until,),) = await office.fetch(statement, company.tenant.tenant_id)
    wait: timedelta = until - datetime.now(tz=UTC)
    return wait


async def link_hosts(company: Company, office: Office) -> list[str | None]:
    events = await office.emitted(company.tenant.tenant_id, "LinkHostChanged")
    return [event["link_host"] for event in events]


async def test_a_domain_in_use_is_looked_up_every_day(
    company: Company, inspector: Inspector, zone: NameServer, office: Office, domain: str
) -> None:
    asked = len(zone.asked)
    await inspector.rounds.step()
    await inspector.rounds.finish()
    assert len(zone.asked) == asked + 2
    await inspector.work_on(company.tenant.tenant_id)
    assert len(zone.asked) == asked + 2, "not before tomorrow"
    assert timedelta(hours=23) < await waits(company, office) < timedelta(hours=25)
    assert told(await company.get("/custom-domain")) == ("verified", None, domain)


async def test_links_leave_a_domain_whose_records_are_gone_twice(
    company: Company, inspector: Inspector, zone: NameServer, office: Office, domain: str
) -> None:
    records = dict(zone.records)
    zone.records.clear()
    await inspector.work_on(company.tenant.tenant_id)
    assert told(await company.get("/custom-domain")) == ("verified", "ownership_missing", domain)
    assert await waits(company, office) < timedelta(hours=2)
    zone.records.update(records)
    await be_due(company, office)
    await inspector.work_on(company.tenant.tenant_id)
    assert told(await company.get("/custom-domain")) == ("verified", None, domain), "it was for a moment"
    zone.records.clear()
    for _ in range(2):
        await be_due(company, office)
        await inspector.work_on(company.tenant.tenant_id)
    assert told(await company.get("/custom-domain")) == ("pending", "ownership_missing", PLATFORM)
    assert await link_hosts(company, office) == [domain, None]
    asked = len(zone.asked)
    await be_due(company, office)
    await inspector.work_on(company.tenant.tenant_id)
    assert len(zone.asked) == asked, "what is not in use is looked up when its owner says so"


async def test_dns_that_is_away_says_nothing(
    service: Harness, company: Company, office: Office, domain: str
) -> None:
    async with name_server() as (_, address):
        nobody = address
    inspector = Inspector(service.kernel.database, Dns(nobody), settings_of(service.kernel))
    await inspector.work_on(company.tenant.tenant_id)
    assert told(await company.get("/custom-domain")) == ("verified", None, domain)
    assert timedelta(minutes=50) < await waits(company, office) < timedelta(hours=2)


async def test_a_snapshot_tells_the_host_of_links(
    service: Harness, company: Company, zone: NameServer, domain: str
) -> None:
    async def told_host() -> str | None:
        context = SystemContext(company.tenant.tenant_id, "job", "tenants")
        async with service.kernel.database.tenant(context) as session:
            (event,) = [one async for one in describe(session)]
        assert isinstance(event, TenantDescribed)
        return event.link_host

    assert await told_host() == domain
    zone.records.clear()
    await verify(company)
    assert await told_host() is None


@pytest.mark.parametrize("between", [None, "other.example"])
async def test_nobody_keeps_a_name_by_choosing_it_again(
    service: Harness, zone: NameServer, office: Office, domain: str, between: str | None
) -> None:
    """A week after it first stood in the settings it is in nobody's way, without DNS."""
    squatter, owner = [await found(service, "enterprise") for _ in range(2)]
    age = "UPDATE tenants.domain_claims SET claimed_at = claimed_at - interval '4 days' WHERE tenant_id = $1"
    await choose(squatter, domain)
    await office.fetch(age, squatter.tenant.tenant_id)
    await choose(squatter, f"{between}.{domain}" if between else None)
    assert (await choose(squatter, domain)).status_code == 200
    assert (await choose(owner, domain)).status_code == 409
    await office.fetch(age, squatter.tenant.tenant_id)
    assert (await choose(owner, domain)).status_code == 200
    assert (await choose(squatter, None)).status_code == 200
    await publish(owner, zone, "ownership", "links")
    assert told(await verify(owner)) == ("verified", None, domain)
