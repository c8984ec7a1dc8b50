"""What becomes of an event, without a database."""

import json
from datetime import timedelta
from typing import Any

import pytest
from services.audit.tests.book import REQUEST, created, denied, missed, provisioned, read, traceparent

from audit.ingest.ids import record_id, shadow_id
from audit.ingest.rows import MAX_TEXT, build, clean, trace_of
from common import clock
from common.contracts.audit import AccessGap, ActionRecorded, CrossTenantAttemptFlagged, Target
from common.contracts.auth import OperatorLoggedIn, SessionEnded, UserRegistered
from common.contracts.campaigns import CampaignCreated, CampaignDeleted
from common.contracts.envelope import Actor, Envelope, Event, Meta
from common.contracts.tenants import TenantSuspended
from common.ids import PLATFORM_TENANT, Kind, created_at, new_id, to_text


def envelope_of(event: Any, **changes: Any) -> Envelope:
    facts: dict[str, Any] = {
        "event_id": new_id(),
        "source": "campaigns",
        "type": event.ce_type(),
        "time": clock.now(),
        "subject": event.subject,
        "tenant_id": event.tenant_id,
        "sequence": 1,
        "data": b"",
        "traceparent": traceparent(),
        **changes,
    }
    return Envelope(**facts)


def rows_of(event: Event) -> Any:
    return build(envelope_of(event), event)


def test_a_change_is_a_row_with_its_actor_target_and_trace() -> None:
    who = Actor(type="user", id=to_text(Kind.USER, new_id()))
    event = created(new_id()).model_copy(update={"meta": Meta(actor=who, request_id="r-1")})
    envelope = envelope_of(event)
    rows = build(envelope, event)
    (entry,) = rows.entries
    assert (entry.action, entry.actor_type, entry.actor_id) == ("campaign.created", "user", who.id)
    assert (entry.target_type, entry.target_id) == ("campaign", event.subject)
    assert (entry.outcome, entry.severity, entry.request_id) == ("success", "info", "r-1")
    assert entry.trace_id in str(envelope.traceparent)
    assert json.loads(str(entry.changes)) == {
        "name": "Spring",
        "workspace_id": to_text(Kind.WORKSPACE, event.workspace_id),
    }
    assert [life.resource for life in rows.births] == [event.subject]
    assert [access.kind for access in rows.accesses] == ["succeeded"]


def test_a_tenant_is_born_with_its_owner_and_workspace_and_without_their_names() -> None:
    event = provisioned(new_id())
    rows = rows_of(event)
    assert [life.resource for life in rows.births] == [
        event.subject,
        to_text(Kind.USER, event.owner.user_id),
        to_text(Kind.WORKSPACE, event.default_workspace.workspace_id),
    ]
    assert "olga" not in rows.entries[0].changes.lower()
    assert "Default" in rows.entries[0].changes


def test_addresses_and_the_names_beside_them_stay_out() -> None:
    event = UserRegistered(
        tenant_id=new_id(), user_id=new_id(), version=1, email="a@b.example", name="Ann", role="member"
    )
    assert json.loads(rows_of(event).entries[0].changes) == {"role": "member", "memberships": []}


def test_deaths() -> None:
    event = CampaignDeleted(tenant_id=new_id(), workspace_id=new_id(), campaign_id=new_id(), version=2)
    assert [life.resource for life in rows_of(event).deaths] == [event.subject]
    ended = SessionEnded(tenant_id=new_id(), session_id=new_id(), version=2, user_id=new_id(), at=clock.now())
    assert [life.resource for life in rows_of(ended).deaths] == [ended.subject]


def test_each_read_is_a_row_whose_id_is_the_same_at_every_delivery() -> None:
    moment = clock.now() - timedelta(minutes=3)
    event = read(new_id(), to_text(Kind.CAMPAIGN, new_id()), at=moment, count=3)
    envelope = envelope_of(event)
    first, second = build(envelope, event), build(envelope, event)
    assert first == second
    assert len({entry.event_id for entry in first.entries}) == 3
    for entry in first.entries:
        assert entry.action == "access.recorded"
        assert abs(created_at(entry.event_id) - moment) < timedelta(milliseconds=1)  # type: ignore[operator]
        assert (entry.ip, entry.email, entry.status) == (REQUEST.ip, "reader@example.com", 200)


def test_refusals_keep_their_request() -> None:
    (entry,) = rows_of(
        denied(new_id(), code="forbidden", target=Target(type="campaign", id="camp_1"))
    ).entries
    assert (entry.action, entry.outcome, entry.status) == ("access.denied", "denied", 403)
    assert (entry.route, entry.ip, json.loads(str(entry.changes))) == (
        REQUEST.route,
        REQUEST.ip,
        {"code": "forbidden"},
    )
    (entry,) = rows_of(missed(new_id(), "camp_1")).entries
    assert (entry.action, entry.outcome, entry.status) == ("access.missed", "denied", 404)


def test_lost_reads_are_told() -> None:
    now = clock.now()
    (entry,) = rows_of(AccessGap(tenant_id=new_id(), count=7, since=now, until=now)).entries
    assert (entry.action, entry.outcome, entry.severity) == ("access.gap", "error", "medium")
    assert json.loads(str(entry.changes))["count"] == 7


@pytest.mark.parametrize(
    ("action", "outcome", "severity", "judged"),
    [
        ("campaign.created", "success", "info", 1),
        ("user.login_failed", "denied", "low", 0),
        ("user.welcome_mail_refused", "error", "low", 0),
        ("import.failed", "error", "low", 0),
        ("unfailed", "success", "info", 1),
    ],
)
def test_the_participle_tells_the_outcome(
    monkeypatch: pytest.MonkeyPatch, action: str, outcome: str, severity: str, judged: int
) -> None:
    monkeypatch.setattr(CampaignCreated, "ACTION", action)
    rows = rows_of(created(new_id()))
    (entry,) = rows.entries
    assert (entry.action, entry.outcome, entry.severity) == (action, outcome, severity)
    assert len(rows.accesses) == judged


def test_the_logs_own_findings_and_contexts_are_no_rows() -> None:
    flagged = CrossTenantAttemptFlagged(
        tenant_id=new_id(), event_id=new_id(), kind="explicit", severity="high"
    )
    assert rows_of(flagged).entries == []
    rows = rows_of(
        ActionRecorded(tenant_id=new_id(), event_id=new_id(), email="a@b.example", request=REQUEST)
    )
    assert rows.entries == []
    assert rows.contexts[0].ip == REQUEST.ip


@pytest.mark.parametrize(
    "hostile", ["a\x00b", "'; DROP TABLE audit.events; --", "\u202e", "💥" * 2000, "%_\\"]
)
def test_hostile_text_becomes_storable(hostile: str) -> None:
    (entry,) = rows_of(created(new_id(), name=hostile)).entries
    assert "\\u0000" not in str(entry.changes)
    (entry,) = rows_of(missed(new_id(), hostile)).entries
    assert entry.target_id is not None
    assert "\x00" not in entry.target_id
    assert len(entry.target_id) <= MAX_TEXT


def test_lone_surrogates_are_replaced() -> None:
    assert clean("a\ud800b") == "a\ufffdb"


@pytest.mark.parametrize("text", [None, "", "00-xyz", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "x" * 5000])
def test_a_malformed_traceparent_has_no_trace(text: str | None) -> None:
    assert trace_of(text) is None


def test_shadow_ids_tell_only_the_time() -> None:
    event, victim, now = new_id(), new_id(), clock.now()
    shadow = shadow_id(b"a" * 32, event, victim, now)
    assert shadow == shadow_id(b"a" * 32, event, victim, now)
    assert shadow != shadow_id(b"b" * 32, event, victim, now)
    assert abs(created_at(shadow) - now) < timedelta(milliseconds=1)  # type: ignore[operator]
    assert record_id(event, 0, now) != record_id(event, 1, now)


def test_what_an_operator_does_to_a_tenant_stands_in_the_platforms_log_too() -> None:
    operator = Actor(type="operator", id=to_text(Kind.OPERATOR, new_id()))
    tenant_id = new_id()
    event = TenantSuspended(
        tenant_id=tenant_id, version=2, reason="operator", meta=Meta(actor=operator, request_id="r-1")
    )
    envelope = envelope_of(event)
    rows = build(envelope, event)
    own, copy = rows.entries
    assert (own.tenant_id, copy.tenant_id) == (tenant_id, PLATFORM_TENANT)
    assert (copy.actor_type, copy.actor_id, copy.action) == ("operator", operator.id, "tenant.suspended")
    assert json.loads(str(copy.changes)) == {
        "reason": "operator",
        "tenant_id": to_text(Kind.TENANT, tenant_id),
    }
    assert own.event_id != copy.event_id == build(envelope, event).entries[1].event_id
    assert len(rows.accesses) == 1, "judged once, where it happened"
    action = ActionRecorded(
        tenant_id=tenant_id, event_id=own.event_id, request=REQUEST, meta=Meta(actor=operator)
    )
    assert [(context.tenant_id, context.event_id) for context in rows_of(action).contexts] == [
        (tenant_id, own.event_id),
        (PLATFORM_TENANT, copy.event_id),
    ]


def test_what_an_operator_read_of_a_tenant_stands_in_the_platforms_log_too() -> None:
    operator = Actor(type="operator", id=to_text(Kind.OPERATOR, new_id()))
    event = read(new_id())
    records = tuple(record.model_copy(update={"actor": operator}) for record in event.records)
    rows = rows_of(event.model_copy(update={"records": records}))
    assert {entry.tenant_id for entry in rows.entries} == {event.tenant_id, PLATFORM_TENANT}
    assert len({entry.event_id for entry in rows.entries}) == 2 * len(records)


def test_what_an_operator_does_at_the_platform_stands_there_once() -> None:
    operator_id = new_id()
    operator = Actor(type="operator", id=to_text(Kind.OPERATOR, operator_id))
    event = OperatorLoggedIn(
        tenant_id=PLATFORM_TENANT, operator_id=operator_id, version=1, meta=Meta(actor=operator)
    )
    (entry,) = rows_of(event).entries
    assert (entry.tenant_id, entry.action, entry.actor_id) == (
        PLATFORM_TENANT,
        "operator.logged_in",
        operator.id,
    )
