"""Who tried to cross a border, and what each side sees of it."""

import itertools
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from services.audit.tests.book import EMAIL, REQUEST, Book, camp, created, denied, missed, provisioned, read

from common import clock
from common.contracts.audit import Target
from common.contracts.campaigns import CampaignDeleted, CampaignUpdated
from common.contracts.workspaces import WorkspaceUpdated
from common.ids import PLATFORM_TENANT, Kind, new_id, to_text
from common.metric_names import AUDIT_DELAY, AUDIT_RECORDED, CROSS_TENANT_ATTEMPTS, ISOLATION_BREACHES
from common.testing.measuring import value_of

ATTEMPT, BREACH = "cross_tenant_attempt", "isolation_breach"


async def judged(book: Book, tenant_id: UUID, event_id: UUID) -> tuple[str | None, str]:
    line = await book.line(tenant_id, event_id)
    return line["flag"], line["severity"]


async def test_a_foreign_resource_is_an_attempt_and_nobodys_is_not(
    book: Book, ours: UUID, theirs: UUID
) -> None:
    mine, other = created(ours), created(theirs)
    await book.tell(mine, other)
    peek, change, nothing, own = await book.tell(
        missed(ours, other.subject),
        missed(ours, other.subject, "DELETE"),
        missed(ours, camp()),
        missed(ours, mine.subject),
    )
    assert await judged(book, ours, peek.event_id) == (ATTEMPT, "medium")
    assert await judged(book, ours, change.event_id) == (ATTEMPT, "high")
    assert await judged(book, ours, nothing.event_id) == ("not_found", "low")
    assert await judged(book, ours, own.event_id) == (None, "low")


async def test_what_comes_with_a_tenant_is_its_own_at_once(book: Book, ours: UUID, theirs: UUID) -> None:
    event = provisioned(theirs)
    await book.tell(event)
    resources = [
        to_text(Kind.USER, event.owner.user_id),
        to_text(Kind.WORKSPACE, event.default_workspace.workspace_id),
        to_text(Kind.TENANT, theirs),
    ]
    for envelope in await book.tell(*(missed(ours, resource) for resource in resources)):
        assert await judged(book, ours, envelope.event_id) == (ATTEMPT, "medium")


async def test_a_deleted_resource_still_tells_whose_it_was(book: Book, ours: UUID, theirs: UUID) -> None:
    event = created(theirs)
    ids = {"workspace_id": event.workspace_id, "campaign_id": event.campaign_id}
    await book.tell(event, CampaignDeleted(tenant_id=theirs, version=2, **ids))
    (late,) = await book.tell(missed(ours, event.subject))
    assert await judged(book, ours, late.event_id) == (ATTEMPT, "medium")
    row = await book.sql.fetchrow("SELECT * FROM audit.ownership WHERE resource = $1", event.subject)
    assert row["tenant_id"] == theirs
    assert row["born_at"] < row["died_at"]


@pytest.mark.parametrize("apart", [True, False], ids=["in-batches", "in-one-batch"])
@pytest.mark.parametrize("ends", [True, False], ids=["ended-twice", "claimed-by-another"])
async def test_ownership_does_not_depend_on_the_order_of_arrival(
    book: Book, ours: UUID, theirs: UUID, apart: bool, ends: bool
) -> None:
    birth = created(theirs)
    ids = {"workspace_id": birth.workspace_id, "campaign_id": birth.campaign_id}
    times = [clock.now() + timedelta(seconds=second) for second in range(4)]
    death, claim = CampaignDeleted(tenant_id=theirs, version=2, **ids), created(ours, birth.campaign_id)
    events = [birth, created(theirs, birth.campaign_id), *([death, death] if ends else [claim, claim])]
    told = [book.envelope(event, time=time) for event, time in zip(events, times, strict=True)]
    owners: set[tuple[Any, ...]] = set()
    for order in itertools.permutations(book.delivery(envelope) for envelope in told):
        await book.sql.execute("DELETE FROM audit.ownership WHERE resource = $1", birth.subject)
        for batch in [[one] for one in order] if apart else [order]:
            await book.take(*batch)
        statement = "SELECT tenant_id, born_at, died_at FROM audit.ownership WHERE resource = $1"
        owners.add(tuple(await book.sql.fetchrow(statement, birth.subject)))
    assert owners == {(theirs, times[0], times[2] if ends else None)}


@pytest.mark.parametrize("owner_is_other", [True, False])
async def test_a_late_birth_corrects_the_verdict(
    book: Book, ours: UUID, theirs: UUID, owner_is_other: bool
) -> None:
    birth = created(theirs if owner_is_other else ours)
    (early,) = await book.tell(missed(ours, birth.subject))
    assert await judged(book, ours, early.event_id) == ("not_found", "low")
    deliveries = [book.delivery(book.envelope(birth))] * 2
    await book.take(*deliveries)
    await book.take(*deliveries)
    line = await book.line(ours, early.event_id)
    expected = (ATTEMPT, "medium", 2) if owner_is_other else (None, "low", 2)
    assert (line["flag"], line["severity"], line["revision"]) == expected
    shadows = [line for line in await book.lines(theirs) if line["flag"]]
    assert len(shadows) == len(await book.outbox(ours)) == int(owner_is_other)
    assert not await book.sql.fetch("SELECT FROM audit.open_accesses WHERE tenant_id = $1", ours)


async def test_a_birth_and_a_miss_in_the_same_batch(book: Book, ours: UUID, theirs: UUID) -> None:
    birth = created(theirs)
    early, _ = await book.tell(missed(ours, birth.subject), birth)
    assert await judged(book, ours, early.event_id) == (ATTEMPT, "medium")


async def test_a_birth_that_a_parallel_batch_could_not_see_is_found(
    book: Book, ours: UUID, theirs: UUID
) -> None:
    birth = created(theirs)
    (early,) = await book.tell(missed(ours, birth.subject))
    await book.sql.execute(
        "INSERT INTO audit.ownership (resource, tenant_id, born_at) VALUES ($1, $2, now())",
        birth.subject,
        theirs,
    )
    connection = await asyncpg.connect(book.database.ingest_url)
    woken = book.woken
    try:
        await book.upkeep.rejudge_overlooked(connection)
        await book.upkeep.rejudge_overlooked(connection)
    finally:
        await connection.close()
    assert await judged(book, ours, early.event_id) == (ATTEMPT, "medium")
    assert book.woken == woken + 1


async def test_naming_a_foreign_tenant(book: Book, ours: UUID, theirs: UUID) -> None:
    await book.tell(provisioned(theirs))
    named, nobody, stopped = await book.tell(
        denied(ours, named_tenant_id=to_text(Kind.TENANT, theirs)),
        denied(ours, named_tenant_id=to_text(Kind.TENANT, new_id())),
        denied(ours, named_tenant_id=""),
    )
    assert await judged(book, ours, named.event_id) == (ATTEMPT, "high")
    assert await judged(book, ours, nobody.event_id) == (ATTEMPT, "medium")
    assert await judged(book, ours, stopped.event_id) == (ATTEMPT, "high")
    (shadow,) = [line for line in await book.lines(theirs) if line["flag"]]
    assert shadow["target_id"] == to_text(Kind.TENANT, theirs)
    kinds = [json.loads(row["data"])["kind"] for row in await book.outbox(ours)]
    assert kinds == ["explicit"] * 3


async def test_naming_a_tenant_before_it_was_heard_of_is_graver_afterwards(
    book: Book, ours: UUID, theirs: UUID
) -> None:
    (early,) = await book.tell(denied(ours, named_tenant_id=to_text(Kind.TENANT, theirs)))
    assert await judged(book, ours, early.event_id) == (ATTEMPT, "medium")
    await book.tell(provisioned(theirs))
    assert await judged(book, ours, early.event_id) == (ATTEMPT, "high")


async def test_an_explicit_attempt_tells_the_victim_nothing_of_a_third_tenant(
    book: Book, ours: UUID, theirs: UUID
) -> None:
    third = created(new_id())
    await book.tell(provisioned(theirs), third)
    target = Target(type="campaign", id=third.subject)
    await book.tell(denied(ours, named_tenant_id=to_text(Kind.TENANT, theirs), target=target))
    assert third.subject not in json.dumps([dict(line) for line in await book.lines(theirs)], default=str)


async def test_a_refusal_for_the_role_counts_when_the_target_is_foreign(
    book: Book, ours: UUID, theirs: UUID
) -> None:
    other, mine = created(theirs), created(ours)
    await book.tell(other, mine)
    foreign, own, expired = await book.tell(
        denied(ours, code="forbidden", target=Target(type="campaign", id=other.subject)),
        denied(ours, code="forbidden", target=Target(type="campaign", id=mine.subject)),
        denied(
            PLATFORM_TENANT,
            code="unauthenticated",
            status=401,
            target=Target(type="campaign", id=other.subject),
        ),
    )
    assert await judged(book, ours, foreign.event_id) == (ATTEMPT, "medium")
    assert await judged(book, ours, own.event_id) == (None, "low")
    assert await judged(book, PLATFORM_TENANT, expired.event_id) == (None, "low")


async def test_a_read_that_succeeded_across_the_border_is_a_breach(
    book: Book, ours: UUID, theirs: UUID
) -> None:
    other, mine = created(theirs), created(ours)
    await book.tell(other, mine)
    await book.tell(read(ours, mine.subject, other.subject), read(ours, mine.subject))
    flags = [(line["flag"], line["severity"]) for line in (await book.lines(ours))[1:]]
    assert flags == [(BREACH, "critical"), (None, "info")]
    (shadow,) = [line for line in await book.lines(theirs) if line["flag"]]
    assert (shadow["flag"], shadow["target_id"]) == (BREACH, other.subject)


async def test_a_change_across_the_border_is_a_breach(book: Book, ours: UUID, theirs: UUID) -> None:
    other = created(theirs)
    await book.tell(other)
    again = created(ours, other.campaign_id)
    ids = {"workspace_id": other.workspace_id, "campaign_id": other.campaign_id}
    change, claim = await book.tell(
        CampaignUpdated(tenant_id=ours, version=2, fields=("name",), **ids), again
    )
    assert await judged(book, ours, change.event_id) == (BREACH, "critical")
    assert await judged(book, ours, claim.event_id) == (BREACH, "critical")
    (later,) = await book.tell(CampaignUpdated(tenant_id=theirs, version=2, fields=("name",), **ids))
    assert await judged(book, theirs, later.event_id) == (None, "info")


async def test_a_read_before_the_birth_was_heard_of_is_judged_then(
    book: Book, ours: UUID, theirs: UUID
) -> None:
    mine, other = created(ours), created(theirs)
    await book.tell(read(ours, mine.subject, other.subject))
    assert [line["flag"] for line in await book.lines(ours)] == [None]
    await book.tell(mine)
    assert [line["flag"] for line in await book.lines(ours)] == [None, None]
    await book.tell(other)
    assert [line["flag"] for line in await book.lines(ours)] == [BREACH, None]


async def test_a_change_to_what_nobody_is_known_to_own_claims_nothing(
    book: Book, ours: UUID, theirs: UUID
) -> None:
    workspace_id = new_id()
    facts = {"workspace_id": workspace_id, "version": 2, "name": "n", "slug": "s"}
    await book.tell(WorkspaceUpdated(tenant_id=ours, **facts))
    resource = to_text(Kind.WORKSPACE, workspace_id)
    (peek,) = await book.tell(missed(theirs, resource))
    assert await judged(book, theirs, peek.event_id) == ("not_found", "low")


async def test_entries_of_a_foreign_log_are_foreign_resources(book: Book, ours: UUID, theirs: UUID) -> None:
    mine, other = await book.tell(created(ours), created(theirs))
    attempts = await book.tell(
        *(missed(ours, to_text(Kind.AUDIT_EVENT, item)) for item in (other.event_id, mine.event_id, new_id()))
    )
    flags = [(await judged(book, ours, attempt.event_id))[0] for attempt in attempts]
    assert flags == [ATTEMPT, None, "not_found"]


async def test_the_victim_sees_nothing_of_the_other_side(book: Book, ours: UUID, theirs: UUID) -> None:
    other = created(theirs)
    await book.tell(other, provisioned(ours), provisioned(theirs))
    attacks = [
        missed(ours, other.subject, "DELETE"),
        denied(ours, named_tenant_id=to_text(Kind.TENANT, theirs)),
        read(ours, other.subject),
    ]
    envelopes = await book.tell(*attacks)
    shadows = [line for line in await book.lines(theirs) if line["flag"]]
    assert len(shadows) == 3
    told = {"tenant_id", "event_id", "occurred_at", "recorded_at", "action", "actor_type"}
    told |= {"target_type", "target_id", "outcome", "severity", "source", "flag", "revision"}
    for shadow in shadows:
        assert {name for name, value in shadow.items() if value is not None} == told
        assert (shadow["actor_type"], shadow["source"]) == ("external", "audit")
    text = json.dumps([dict(shadow) for shadow in shadows], default=str)
    secrets: list[Any] = [
        ours,
        to_text(Kind.TENANT, ours),
        EMAIL,
        REQUEST.ip,
        REQUEST.user_agent,
        REQUEST.request_id,
    ]
    secrets += [item for envelope in envelopes for item in (envelope.event_id, envelope.traceparent)]
    secrets += [str(attack.actor.id) for attack in attacks[:2]]
    assert not [secret for secret in secrets if str(secret) in text]


async def test_an_attempt_is_published_once_in_its_own_trace(book: Book, ours: UUID, theirs: UUID) -> None:
    other = created(theirs)
    await book.tell(other)
    attack = missed(ours, other.subject)
    delivery = book.delivery(book.envelope(attack))
    await book.take(delivery)
    await book.take(delivery)
    (row,) = await book.outbox(ours)
    event = json.loads(row["data"])
    line = await book.line(ours, (await book.lines(ours))[0]["event_id"])
    assert row["topic"] == "penguinmails.security"
    assert (event["kind"], event["severity"]) == ("implicit", "medium")
    assert event["event_id"] == to_text(Kind.EVENT, line["event_id"])
    assert event["meta"]["actor"] == attack.actor.model_dump()
    assert str(theirs) not in row["data"]
    assert to_text(Kind.TENANT, theirs) not in row["data"]
    assert line["trace_id"] in row["traceparent"]
    assert await book.outbox(theirs) == []


async def test_ingestion_publishes_on_no_other_topic(book: Book, ours: UUID) -> None:
    connection = await asyncpg.connect(book.database.ingest_url)
    statement = (
        "INSERT INTO tenancy.outbox (tenant_id, event_id, topic, type, subject, data) "
        "VALUES ($1, $1, 'penguinmails.tenants', 't', 's', '{}')"
    )
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement, ours)
    finally:
        await connection.close()


async def test_attempts_and_breaches_are_counted_once_each(book: Book, ours: UUID, theirs: UUID) -> None:
    other = created(theirs)
    await book.tell(other)
    metrics = (CROSS_TENANT_ATTEMPTS, ISOLATION_BREACHES, AUDIT_RECORDED, AUDIT_DELAY)
    before = [value_of(metric) for metric in metrics]
    high = value_of(CROSS_TENANT_ATTEMPTS, app__severity="high")
    changed = CampaignUpdated(
        tenant_id=ours,
        workspace_id=other.workspace_id,
        campaign_id=other.campaign_id,
        version=2,
        fields=("name",),
    )
    await book.tell(
        missed(ours, other.subject), missed(ours, other.subject, "DELETE"), missed(ours, camp()), changed
    )
    assert [value_of(metric) for metric in metrics] == [
        before[0] + 2,
        before[1] + 1,
        before[2] + 4,
        before[3] + 1,
    ]
    assert value_of(CROSS_TENANT_ATTEMPTS, app__severity="high") == high + 1
