"""What a company does about its custom domain, and what it is told of it."""

import httpx
from services.tenants.tests.company import Company
from services.tenants.tests.name_server import NameServer

from common.testing.harness import bearer

PLATFORM = "links.penguinmails.test"


async def choose(company: Company, domain: str | None) -> httpx.Response:
    return await company.patch({"branding": {"custom_domain": domain}})


async def verify(company: Company, token: str | None = None) -> httpx.Response:
    headers = bearer(token or company.tenant.token)
    return await company.service.client.post(f"{company.url}/custom-domain/verify", headers=headers)


async def publish(company: Company, zone: NameServer, *purposes: str) -> None:
    """Create the records the service asks for."""
    for record in (await company.get("/custom-domain")).json()["records"]:
        if record["purpose"] in purposes:
            value = f'"{record["value"]}"' if record["type"] == "TXT" else f"{record['value']}."
            zone.records[record["name"], record["type"]] = value


def told(answer: httpx.Response) -> tuple[str, str | None, str]:
    body = answer.json()
    return body["status"], body["problem"], body["link_host"]
