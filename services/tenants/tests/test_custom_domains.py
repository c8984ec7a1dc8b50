"""Custom domains: one tenant's only, and in use only while DNS says so."""

import asyncio
from typing import Any

import pytest
from services.tenants.tests.branding import PLATFORM, choose, publish, told, verify
from services.tenants.tests.company import Company, found
from services.tenants.tests.name_server import NameServer, name_server
from services.tenants.tests.test_standing_changes import change
from services.tenants.tests.world import Office

from common.testing.harness import Harness
from tenants.parts import TenantsParts
from tenants.tenant.service import override_features


@pytest.fixture
async def company(service: Harness) -> Company:
    return await found(service, "enterprise")


async def test_links_use_it_from_the_first_check_that_finds_all_records(
    company: Company, zone: NameServer, office: Office, domain: str
) -> None:
    for answer in (await company.get("/custom-domain"), await verify(company)):
        assert told(answer) == ("none", None, PLATFORM)
    settings = (await choose(company, domain.upper())).json()["settings"]
    assert settings["branding"]["custom_domain"] == domain
    assert told(await company.get("/custom-domain")) == ("pending", None, PLATFORM)
    assert told(await verify(company)) == ("pending", "ownership_missing", PLATFORM)
    await publish(company, zone, "ownership")
    assert told(await verify(company)) == ("pending", "links_missing", PLATFORM)
    assert not await office.emitted(company.tenant.tenant_id, "LinkHostChanged")
    await publish(company, zone, "links")
    for answer in (await verify(company), await verify(company), await company.get("/custom-domain")):
        assert told(answer) == ("verified", None, domain)
    assert zone.asked[-2:] == [f"TXT _penguinmails.{domain}", f"CNAME {domain}"]
    zone.records.clear()
    assert told(await verify(company)) == ("pending", "ownership_missing", PLATFORM)
    events = await office.emitted(company.tenant.tenant_id, "LinkHostChanged")
    assert [event["link_host"] for event in events] == [domain, None]
    assert events[0]["version"] < events[1]["version"]


async def test_a_name_that_only_leads_here_proves_nothing(
    service: Harness, company: Company, zone: NameServer, domain: str
) -> None:
    """Its owner may have been another tenant, whose own token is still in DNS."""
    await choose(company, domain)
    await publish(company, zone, "ownership", "links")
    await choose(company, None)
    other = await found(service, "enterprise")
    await choose(other, domain)
    assert told(await verify(other)) == ("pending", "ownership_missing", PLATFORM)


async def test_a_domain_is_one_tenants_and_nobody_learns_whose(
    service: Harness, company: Company, domain: str
) -> None:
    other = await found(service, "enterprise")
    assert (await choose(company, domain)).status_code == 200
    refused = [await choose(other, spelling) for spelling in (domain, f"{domain.title()}.")]
    refused.append(await choose(other, PLATFORM))
    refused.append(await choose(other, f"a.{PLATFORM}"))
    documents: list[dict[str, Any]] = [answer.json() for answer in refused]
    for document in documents:
        document.pop("trace_id")
    assert [document["code"] for document in documents] == ["domain_unavailable"] * 4
    assert all(document == documents[0] for document in documents)
    assert (await other.get()).headers["ETag"] == '"v1"'
    assert (await choose(company, domain)).status_code == 200, "one's own is no obstacle"
    await choose(company, f"other.{domain}")
    assert (await choose(other, domain)).status_code == 200, "given up by the change"


async def test_of_several_at_once_one_gets_it(service: Harness, domain: str) -> None:
    companies = [await found(service, "enterprise") for _ in range(6)]
    answers = await asyncio.gather(*(choose(company, domain) for company in companies))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 5]


async def test_a_refused_change_claims_nothing(service: Harness, company: Company, domain: str) -> None:
    stale = await company.patch({"branding": {"custom_domain": domain}}, '"v7"')
    starter = await found(service, "starter")
    disabled = await choose(starter, domain)
    assert (stale.status_code, disabled.json()["code"]) == (412, "feature_disabled")
    assert (await choose(await found(service, "enterprise"), domain)).status_code == 200


async def test_a_claim_that_dns_never_confirmed_lapses_after_a_week(
    service: Harness, company: Company, zone: NameServer, office: Office, domain: str
) -> None:
    other = await found(service, "enterprise")
    age = "UPDATE tenants.domain_claims SET claimed_at = now() - interval '8 days' WHERE tenant_id = $1"
    await choose(company, domain)
    await publish(company, zone, "ownership", "links")
    await verify(company)
    await office.fetch(age, company.tenant.tenant_id)
    assert (await choose(other, domain)).status_code == 409, "confirmed: it does not lapse"
    zone.records.clear()
    await verify(company)
    assert (await choose(other, domain)).status_code == 409, "a week to mend it"
    await office.fetch(age, company.tenant.tenant_id)
    assert (await choose(other, domain)).status_code == 200
    lost = await verify(company)
    assert (lost.status_code, lost.json()["code"]) == (409, "domain_unavailable")
    await choose(company, None)
    assert (await choose(company, domain)).status_code == 409, "giving up what was lost frees nothing"


async def test_leaving_a_domain_in_use_is_told(
    company: Company, zone: NameServer, office: Office, domain: str
) -> None:
    await choose(company, domain)
    await publish(company, zone, "ownership", "links")
    await verify(company)
    await choose(company, f"other.{domain}")
    events = await office.emitted(company.tenant.tenant_id, "LinkHostChanged", "TenantSettingsUpdated")
    assert [event.get("link_host") for event in events] == [None, domain, None, None]
    assert [event["version"] for event in events] == [2, 3, 4, 5]
    assert told(await company.get("/custom-domain")) == ("pending", None, PLATFORM)


async def test_without_the_feature_links_are_the_platforms_again(
    company: Company, zone: NameServer, domain: str
) -> None:
    await choose(company, domain)
    await publish(company, zone, "ownership", "links")
    await verify(company)
    await change(company, lambda s, r: override_features(s, r, {"custom_branding": False}))
    assert told(await company.get("/custom-domain")) == ("verified", None, PLATFORM)
    assert (await choose(company, None)).status_code == 200


async def test_dns_that_does_not_answer_changes_nothing(
    service: Harness, company: Company, zone: NameServer, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await choose(company, domain)
    await publish(company, zone, "ownership", "links")
    await verify(company)
    parts: TenantsParts = service.client._transport.app._app.state.parts  # type: ignore[attr-defined]
    async with name_server() as (_, address):
        monkeypatch.setattr(parts.dns, "_server", address)
    away = await verify(company)
    assert (away.status_code, away.json()["code"]) == (503, "unavailable")
    assert told(await company.get("/custom-domain")) == ("verified", None, domain)


async def test_it_is_for_owners_and_admins(company: Company, domain: str) -> None:
    await choose(company, domain)
    _, member = await company.service.make_user(company.tenant)
    for answer in (await company.get("/custom-domain", member), await verify(company, member)):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
