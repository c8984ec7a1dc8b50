"""One transaction: events recorded, ownership learned, accesses judged, attempts published."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from audit.detection.rules import Access, Verdict, correct, judge, kind_of, may_be_born
from audit.ingest import store
from audit.ingest.ids import shadow_id
from audit.ingest.rows import Entry, Rows, blanked, reduced
from audit.ingest.store import OutboxEntry, VerdictEntry
from common import metrics
from common.contracts.audit import CrossTenantAttemptFlagged
from common.contracts.envelope import Envelope, Meta
from common.ids import Kind, new_id, parse, to_text
from common.metric_names import CROSS_TENANT_ATTEMPTS, ISOLATION_BREACHES

log = logging.getLogger(__name__)

SOURCE = "audit"
_SHADOW_ACTIONS = {"cross_tenant_attempt": "access.attempted", "isolation_breach": "access.breached"}


_attempts = metrics.counter(
    CROSS_TENANT_ATTEMPTS, *({"app.severity": severity} for severity in ("medium", "high"))
)
_breaches = metrics.counter(ISOLATION_BREACHES, {})


@dataclass(slots=True)
class Findings:
    """What judging led to, waiting to be written. `judged`: the verdicts on those who acted."""

    verdicts: list[VerdictEntry] = field(default_factory=list[VerdictEntry])
    shadows: list[Entry] = field(default_factory=list[Entry])
    outbox: list[OutboxEntry] = field(default_factory=list[OutboxEntry])
    judged: list[Verdict] = field(default_factory=list[Verdict])

    def tell(self, wake_relay: Callable[[], None]) -> None:
        """Once they are committed: count them, and wake the relay when there is something for it."""
        for verdict in self.judged:
            if verdict.flag == "cross_tenant_attempt":
                _attempts.add(1, {"app.severity": verdict.severity})
            elif verdict.flag == "isolation_breach":
                _breaches.add(1)
        if self.outbox:
            wake_relay()


class Recorder:
    """Writes batches. `shadow_key` hides which event a victim's row stems from."""

    def __init__(self, shadow_key: bytes) -> None:
        self._shadow_key = shadow_key

    async def record(self, connection: asyncpg.Connection, work: Sequence[tuple[Envelope, Rows]]) -> Findings:
        """Write everything that `work` leads to; the findings are to be told once that is committed.

        Runs inside the caller's transaction. What was recorded before changes nothing.
        """
        deleted = await store.find_deleted(connection, {envelope.tenant_id for envelope, _ in work})
        rows = [reduced(rows) if envelope.tenant_id in deleted else rows for envelope, rows in work]
        births = [life for item in rows for life in item.births]
        await store.learn_births(connection, births)
        await store.learn_deaths(connection, [life for item in rows for life in item.deaths])
        fresh = await store.insert_events(connection, [entry for item in rows for entry in item.entries])
        await store.insert_contexts(connection, [entry for item in rows for entry in item.contexts])
        accesses = [
            access
            for item in rows
            for access in item.accesses
            if (access.tenant_id, access.event_id) in fresh
        ]
        findings = Findings()
        await self._judge(connection, accesses, findings)
        _grade((entry for item in rows for entry in item.entries), fresh, findings)
        reopened = await store.take_open(connection, {life.resource for life in births})
        self._correct(reopened, findings)
        await self._write(connection, findings)
        await store.note_seen(connection, _sequences(envelope for envelope, _ in work))
        return findings

    async def rejudge(self, connection: asyncpg.Connection, resources: Sequence[str]) -> Findings:
        """Judge kept accesses to `resources` again; the findings are to be told once that is committed."""
        findings = Findings()
        self._correct(await store.take_open(connection, resources), findings)
        await self._write(connection, findings)
        return findings

    async def _judge(
        self, connection: asyncpg.Connection, accesses: Sequence[Access], findings: Findings
    ) -> None:
        resources = {access.resource for access in accesses if access.resource is not None}
        owners = await store.find_owners(connection, resources)
        owners |= await self._owners_of_events(connection, accesses)
        undecided: list[Access] = []
        for access in accesses:
            owner = owners.get(access.resource) if access.resource else None
            verdict = judge(access, owner)
            if verdict is not None:
                self._note(access, verdict, 1, findings)
            if owner is None and access.resource is not None and may_be_born(access.resource):
                undecided.append(access)
        await store.keep_open(connection, undecided)

    async def _owners_of_events(
        self, connection: asyncpg.Connection, accesses: Sequence[Access]
    ) -> dict[str, UUID]:
        """Whose log the missed events of the log itself are in: no other service knows of them."""
        missed = {
            parse(Kind.AUDIT_EVENT, access.resource): access.resource
            for access in accesses
            if access.kind != "succeeded" and access.resource and kind_of(access.resource) is Kind.AUDIT_EVENT
        }
        owners = await store.find_event_owners(connection, missed)
        return {missed[event_id]: owner for event_id, owner in owners.items()}

    def _correct(self, reopened: Iterable[tuple[Access, UUID]], findings: Findings) -> None:
        for access, owner in reopened:
            verdict = correct(access, owner)
            if verdict is not None:
                self._note(access, verdict, 2, findings)

    def _note(self, access: Access, verdict: Verdict, revision: int, findings: Findings) -> None:
        findings.judged.append(verdict)
        flag, severity = verdict.flag, verdict.severity
        key = (access.tenant_id, access.event_id, access.occurred_at)
        findings.verdicts.append(VerdictEntry(*key, revision, flag, severity))
        if verdict.victim is not None:
            shadow = _shadow(self._shadow_key, access, verdict, verdict.victim)
            findings.shadows.append(shadow)
            findings.verdicts.append(
                VerdictEntry(verdict.victim, shadow.event_id, shadow.occurred_at, 1, flag, severity)
            )
        if flag == "cross_tenant_attempt":
            findings.outbox.append(_flagged(access, verdict))
        if flag == "isolation_breach":
            fields = {"event_id": str(access.event_id), "resource": access.resource}
            log.critical("isolation breach", extra={"fields": fields})

    async def _write(self, connection: asyncpg.Connection, findings: Findings) -> None:
        victims = {shadow.tenant_id for shadow in findings.shadows}
        deleted = await store.find_deleted(connection, victims) if victims else set[UUID]()
        shadows = [blanked(row) if row.tenant_id in deleted else row for row in findings.shadows]
        await store.insert_events(connection, shadows)
        await store.insert_verdicts(connection, findings.verdicts)
        await store.insert_outbox(connection, findings.outbox)


def _grade(entries: Iterable[Entry], fresh: set[tuple[UUID, UUID]], findings: Findings) -> None:
    """Give grave events that no judgement spoke of their verdict, so that all can be found by severity."""
    judged = {(verdict.tenant_id, verdict.event_id) for verdict in findings.verdicts}
    for entry in entries:
        key = (entry.tenant_id, entry.event_id)
        if entry.severity != "info" and key in fresh and key not in judged:
            findings.verdicts.append(VerdictEntry(*key, entry.occurred_at, 1, "none", entry.severity))


def _shadow(key: bytes, access: Access, verdict: Verdict, victim: UUID) -> Entry:
    """The victim's row: when, what it aimed at, how bad. Nothing of who, whence or how."""
    resource = to_text(Kind.TENANT, victim) if access.kind == "explicit" else str(access.resource)
    kind = kind_of(resource)
    return Entry(
        tenant_id=victim,
        event_id=shadow_id(key, access.event_id, victim, access.occurred_at),
        occurred_at=access.occurred_at,
        action=_SHADOW_ACTIONS[verdict.flag],
        actor_type="external",
        actor_id=None,
        email=None,
        ip=None,
        user_agent=None,
        target_type=kind.name.lower() if kind else None,
        target_id=resource,
        outcome="success" if verdict.flag == "isolation_breach" else "denied",
        severity=verdict.severity,
        method=None,
        route=None,
        request_id=None,
        status=None,
        trace_id=None,
        source=SOURCE,
        changes=None,
    )


def _flagged(access: Access, verdict: Verdict) -> OutboxEntry:
    """`CrossTenantAttemptFlagged` for the attacker's tenant; the victim is not in it."""
    cause = to_text(Kind.EVENT, access.event_id)
    event = CrossTenantAttemptFlagged(
        tenant_id=access.tenant_id,
        event_id=access.event_id,
        kind="explicit" if access.kind == "explicit" else "implicit",
        severity="high" if verdict.severity == "high" else "medium",
        meta=Meta(actor=access.actor, request_id=access.request_id, cause_id=cause),
    )
    return OutboxEntry(
        tenant_id=access.tenant_id,
        event_id=new_id(),
        topic=event.TOPIC,
        type=event.ce_type(),
        subject=event.subject,
        data=event.model_dump_json(),
        traceparent=access.traceparent,
    )


def _sequences(envelopes: Iterable[Envelope]) -> dict[str, set[int]]:
    sequences: defaultdict[str, set[int]] = defaultdict(set)
    for envelope in envelopes:
        sequences[envelope.source].add(envelope.sequence)
    return sequences
