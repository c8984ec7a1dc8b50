"""The log under test: hands events to ingestion as the broker would, and reads what became of them."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import ConsumerRecord

from audit.ingest.batch import Recorder
from audit.ingest.processor import Ingestion
from audit.ingest.upkeep import Upkeep
from common import clock
from common.bus.consumer import Delivery
from common.contracts.audit import (
    AccessDenied,
    AccessMissed,
    AccessRecord,
    AccessRecorded,
    HttpRequest,
    Target,
)
from common.contracts.campaigns import CampaignCreated
from common.contracts.envelope import Actor, Envelope, Event
from common.contracts.tenants import DefaultWorkspace, Owner, TenantProvisioned
from common.ids import Kind, new_id, to_text
from common.testing.databases import ServiceDatabase
from common.testing.harness import FEATURES, LIMITS

RETENTION = timedelta(days=30)
SHADOW_KEY = b"k" * 32
REQUEST = HttpRequest(
    request_id="req-1",
    method="GET",
    route="/api/v1/campaigns/{campaign_id}",
    ip="203.0.113.7",
    user_agent="curl/8",
)
EMAIL = "mallory@example.com"

_LINES = """
SELECT e.*, c.ip AS context_ip, nullif(v.flag, 'none') AS flag, v.revision,
    coalesce(v.severity, e.severity) AS severity
FROM audit.events AS e
LEFT JOIN audit.action_contexts AS c USING (tenant_id, event_id)
LEFT JOIN LATERAL (
    SELECT flag, severity, revision FROM audit.verdicts AS v
    WHERE v.tenant_id = e.tenant_id AND v.event_id = e.event_id ORDER BY revision DESC LIMIT 1
) AS v ON true
WHERE e.tenant_id = $1 ORDER BY e.occurred_at, e.event_id
"""


def traceparent() -> str:
    return f"00-{new_id().hex}-{new_id().hex[16:]}-01"


def camp() -> str:
    return to_text(Kind.CAMPAIGN, new_id())


def actor(user_id: UUID | None = None) -> Actor:
    return Actor(type="user", id=to_text(Kind.USER, user_id or new_id()))


class Book:
    """One audit database and the ingestion that writes it."""

    def __init__(self, database: ServiceDatabase, connection: asyncpg.Connection) -> None:
        self.database, self.sql = database, connection
        self.recorder = Recorder(SHADOW_KEY)
        self.woken = 0
        self.ingestion = Ingestion(database.ingest_url, self.recorder, RETENTION, self._wake)
        self.upkeep = Upkeep(database.ingest_url, self.recorder, RETENTION, self._wake)
        self._offset = 0
        self._sequences: defaultdict[str, int] = defaultdict(int)

    def _wake(self) -> None:
        self.woken += 1

    def envelope(self, event: Event, source: str | None = None, **changes: Any) -> Envelope:
        source = source or getattr(event, "service", event.home() or "campaigns")
        self._sequences[source] += 1
        facts: dict[str, Any] = {
            "event_id": new_id(),
            "source": source,
            "type": event.ce_type(),
            "time": clock.now(),
            "subject": event.subject,
            "tenant_id": event.tenant_id,  # type: ignore[attr-defined]
            "sequence": self._sequences[source],
            "data": event.model_dump_json().encode(),
            "traceparent": traceparent(),
            **changes,
        }
        return Envelope(**facts)

    def delivery(self, envelope: Envelope, topic: str = "penguinmails.campaigns") -> Delivery:
        return self.raw(topic, envelope.headers(), envelope.key, envelope.data)

    def raw(self, topic: str, headers: Any, key: bytes | None, value: bytes | None) -> Delivery:
        self._offset += 1
        record = ConsumerRecord(topic, 0, self._offset, 0, 0, key, value, None, 0, 0, headers)
        return Delivery(record)

    async def take(self, *deliveries: Delivery) -> list[Delivery]:
        """Have them ingested; returns those reported done, in that order."""
        done: list[Delivery] = []
        await self.ingestion.take(deliveries, done.append)
        return done

    async def tell(self, *events: Event, **changes: Any) -> list[Envelope]:
        """Have events ingested in one batch; returns their envelopes."""
        envelopes = [self.envelope(event, **changes) for event in events]
        await self.take(
            *(self.delivery(item, event.TOPIC) for item, event in zip(envelopes, events, strict=True))
        )
        return envelopes

    async def lines(self, tenant_id: UUID) -> list[asyncpg.Record]:
        """The tenant's log, oldest first."""
        return await self.sql.fetch(_LINES, tenant_id)

    async def line(self, tenant_id: UUID, event_id: UUID) -> asyncpg.Record:
        return next(line for line in await self.lines(tenant_id) if line["event_id"] == event_id)

    async def outbox(self, tenant_id: UUID) -> Sequence[asyncpg.Record]:
        return await self.sql.fetch(
            "SELECT * FROM tenancy.outbox WHERE tenant_id = $1 ORDER BY id", tenant_id
        )

    async def quarantine(self, reason: str, topic: str) -> Sequence[asyncpg.Record]:
        return await self.sql.fetch(
            "SELECT * FROM audit.quarantine WHERE reason = $1 AND topic = $2 ORDER BY position", reason, topic
        )


def provisioned(tenant_id: UUID) -> TenantProvisioned:
    return TenantProvisioned(
        tenant_id=tenant_id,
        version=1,
        company_name="Example Ltd",
        plan="starter",
        limits=LIMITS,
        features=FEATURES,
        owner=Owner(user_id=new_id(), email="olga@example.com", name="Olga Owner"),
        default_workspace=DefaultWorkspace(workspace_id=new_id(), name="Default", slug="default"),
    )


def created(tenant_id: UUID, campaign_id: UUID | None = None, name: str = "Spring") -> CampaignCreated:
    return CampaignCreated(
        tenant_id=tenant_id, workspace_id=new_id(), campaign_id=campaign_id or new_id(), version=1, name=name
    )


def missed(tenant_id: UUID, resource: str, method: str = "GET") -> AccessMissed:
    request = REQUEST.model_copy(update={"method": method})
    target = Target(type="campaign", id=resource)
    return AccessMissed(tenant_id=tenant_id, actor=actor(), email=EMAIL, request=request, target=target)


def denied(tenant_id: UUID, **changes: Any) -> AccessDenied:
    facts: dict[str, Any] = {
        "tenant_id": tenant_id,
        "actor": actor(),
        "email": EMAIL,
        "request": REQUEST,
        "status": 403,
        "code": "cross_tenant_forbidden",
        **changes,
    }
    return AccessDenied(**facts)


def read(tenant_id: UUID, *targets: str, at: datetime | None = None, count: int = 1) -> AccessRecorded:
    record = AccessRecord(
        at=at or clock.now(),
        actor=actor(),
        email="reader@example.com",
        request=REQUEST,
        status=200,
        targets=tuple(Target(type="campaign", id=target) for target in targets),
        trace_id=new_id().hex,
    )
    return AccessRecorded(tenant_id=tenant_id, records=(record,) * count)
