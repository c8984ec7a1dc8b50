"""The owner of a company that leaves, and what the services say of its erasure."""

from datetime import UTC, datetime
from typing import Any

from services.tenants.tests.company import Company
from services.tenants.tests.world import Office

from common.bus.handling import Handling
from common.contracts import tenants as events
from common.contracts.envelope import Envelope
from common.contracts.tenants import ErasedRows, KeptRows, TenantErased
from common.ids import new_id
from common.testing.harness import Harness, bearer
from tenants.__main__ import SERVICE

NAME = {"company_name": "Acme Ltd"}


class Owner:
    """The owner of a company, at its deletion."""

    def __init__(self, service: Harness, office: Office, company: Company) -> None:
        self.service, self.office, self.company = service, office, company
        self.tenant_id = company.tenant.tenant_id

    async def ask(self, method: str, token: str | None = None, **extra: Any) -> Any:
        headers = bearer(token or self.company.tenant.token)
        url = f"{self.company.url}/deletion"
        return await self.service.client.request(method, url, headers=headers, **extra)

    async def hear(self, name: str) -> Any:
        """Let the service hear of its own newest event of this name."""
        told = (await self.office.emitted(self.tenant_id, name))[-1]
        event = getattr(events, told.pop("type")).model_validate(told)
        await self.office.hear(self.tenant_id, event)
        return event

    async def change(self, statement: str) -> None:
        await self.office.fetch(statement, self.tenant_id)

    async def row(self) -> dict[str, Any] | None:
        rows = await self.office.fetch(
            "SELECT d.*, t.status, t.version FROM tenants.deletions AS d "
            "LEFT JOIN tenants.tenants AS t USING (tenant_id) WHERE tenant_id = $1",
            self.tenant_id,
        )
        return dict(rows[0]) if rows else None

    async def be_due(self) -> None:
        await self.change(
            "UPDATE tenants.deletions SET erase_at = least(erase_at, now()), next_step_at = now() "
            "WHERE tenant_id = $1"
        )


def erased(owner: Owner, service: str, rows: int = 3) -> TenantErased:
    return TenantErased(
        tenant_id=owner.tenant_id,
        version=3,
        service=service,
        erased=(ErasedRows(table=f"{service}.things", rows=rows),),
        kept=(KeptRows(what="tenancy.tenants", why="the id"),),
    )


async def report(owner: Owner, service: Harness, event: TenantErased) -> None:
    """Let the service hear of another's erasure the way its consumer does."""
    envelope = Envelope(
        event_id=new_id(),
        source=event.service,
        type=event.ce_type(),
        time=datetime.now(tz=UTC),
        subject=event.subject,
        tenant_id=owner.tenant_id,
        sequence=1,
        data=event.model_dump_json().encode(),
    )
    handling = Handling("tenants", service.kernel.database, SERVICE.handlers)
    await handling.apply(event.TOPIC, envelope)
