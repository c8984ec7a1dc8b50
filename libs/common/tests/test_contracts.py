"""The registry of events: complete, closed when written, open when read, and the envelope's form."""

import json
import re
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError, create_model

from common import clock
from common.contracts import Actor, Envelope, Event, Meta, envelope, registry
from common.contracts.envelope import TOPICS, InvalidEvent, Part, Topic, tenant_key
from common.contracts.workspaces import WorkspaceArchived, WorkspaceCreated
from common.ids import new_id

EVENTS = sorted(registry().items())

SECRET_WORDS = {
    *("authorization", "code", "cookie", "credential", "credentials", "hash", "jwt", "key", "otp"),
    *("passphrase", "password", "pin", "private", "salt", "secret", "signature", "token", "tokens"),
}
REVIEWED = {
    "AccessDenied.code": "the stable code of an error answer",
    "LoginFailed.address_key": "a keyed hash that groups attempts; the key never leaves auth",
    "OperatorLoginFailed.address_key": "the same",
    "WelcomeMailRefused.code": "the SMTP reply of the mail server",
}


def fields_of(event: type[Event]) -> list[str]:
    """`Model.field` of every field, those of nested values included."""
    schema = event.model_json_schema()
    models = {event.__name__: schema, **schema.get("$defs", {})}
    return [f"{model}.{name}" for model, one in models.items() for name in one.get("properties", {})]


def archived(**changes: Any) -> WorkspaceArchived:
    return WorkspaceArchived(**{"tenant_id": new_id(), "workspace_id": new_id(), "version": 3, **changes})


def envelope_of(event: WorkspaceArchived) -> Envelope:
    return Envelope(
        event_id=new_id(),
        source="workspaces",
        type=event.ce_type(),
        time=clock.now(),
        subject=event.subject,
        tenant_id=event.tenant_id,
        sequence=7,
        data=event.model_dump_json().encode(),
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    )


@pytest.mark.parametrize(("ce_type", "event"), EVENTS)
def test_each_event_declares_where_it_belongs(ce_type: str, event: type[Event]) -> None:
    assert event.TOPIC in TOPICS
    assert event.SUBJECT in event.model_fields
    assert "tenant_id" in event.model_fields, "the envelope's tenant is compared with it"
    assert ce_type == f"penguinmails.{event.__name__}.v{event.VERSION}"
    assert event.__doc__ or event.ACTION


UNVERSIONED = {
    "AccessDenied": "a refused request, which changed nothing",
    "AccessGap": "reads that were lost",
    "AccessMissed": "a look-up that found nothing",
    "AccessRecorded": "reads",
    "ActionRecorded": "the request behind another event",
    "AuditLogTrimmed": "days of a log, which has no versions",
    "CrossTenantAttemptFlagged": "a verdict on another event",
    "DeadLetterDropped": "what became of another event",
    "DeadLetterRetried": "what became of another event",
    "GapClosed": "numbers of a producer's",
    "HistoryPublishedAgain": "an operator's command",
    "LogReplayed": "an operator's command",
    "LoginFailed": "an attempt, perhaps on no account at all",
    "OperatorLoginFailed": "an attempt, perhaps on no operator at all",
    "ParkedEventDropped": "what became of another event",
    "ParkedEventRetried": "what became of another event",
    "SecretsResealed": "rows of many aggregates, none of which changed for its users",
    "SigningKeyRotated": "the platform's ring of keys, of which each event names one",
    "StateTold": "an operator's command",
}
"""Events about no aggregate that is stored with a version, and what they are about instead."""


@pytest.mark.parametrize(("ce_type", "event"), EVENTS)
def test_each_event_carries_the_version_of_its_aggregate(ce_type: str, event: type[Event]) -> None:
    versioned = event.__name__ not in UNVERSIONED
    assert versioned == ("version" in event.model_fields), ce_type
    assert versioned or event.LIFE == "none", "what is about a resource has its version"
    if versioned:
        assert event.model_fields["version"].annotation is int
        assert event.model_fields["version"].is_required()


def test_events_without_a_version_exist() -> None:
    assert set(UNVERSIONED) <= {event.__name__ for _, event in EVENTS}


@pytest.mark.parametrize("event", [event for _, event in EVENTS])
def test_no_event_has_room_for_a_secret(event: type[Event]) -> None:
    suspicious = {name for name in fields_of(event) if SECRET_WORDS & set(re.split(r"[_.]", name.lower()))}
    assert suspicious <= set(REVIEWED), "secrets never travel; what is none is listed with its reason"


def test_reviewed_fields_exist() -> None:
    assert set(REVIEWED) <= {name for _, event in EVENTS for name in fields_of(event)}


@pytest.mark.parametrize("word", sorted(SECRET_WORDS))
def test_a_field_for_a_secret_would_be_noticed(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr(envelope, "_REGISTRY", {})
    part = create_model("Mailbox", __base__=Part, **{f"reset_{word}": (str, ...)})  # type: ignore[call-overload]
    leaky = create_model("WorkspaceLeaked", __base__=WorkspaceArchived, mailboxes=(tuple[part, ...], ()))
    with pytest.raises(AssertionError, match="secrets never travel"):
        test_no_event_has_room_for_a_secret(leaky)


def test_written_closed_and_read_open() -> None:
    event = archived(meta=Meta(actor=Actor(type="system", id="workspaces")))
    newer = {**event.model_dump(mode="json"), "added_later": {"deep": 1}}
    newer["meta"]["actor"]["added_later"] = 1
    assert WorkspaceArchived.read(json.dumps(newer)) == event
    with pytest.raises(ValidationError):
        archived(added_later=1)


def test_an_event_without_its_declarations_cannot_be_defined() -> None:
    with pytest.raises(TypeError, match="declares no"):

        class Incomplete(Event):  # pyright: ignore[reportUnusedClass]
            tenant_id: str

    with pytest.raises(TypeError, match="declares no"):
        create_model("WorkspaceSeen", __base__=_Unversioned)


class _Unversioned(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.workspaces"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "workspace"
    ACTION: ClassVar[str | None] = None

    tenant_id: str


def test_two_events_cannot_share_a_type() -> None:
    with pytest.raises(TypeError, match="declared twice"):
        type("WorkspaceCreated", (WorkspaceCreated,), {"__module__": __name__})


def test_envelope_round_trip_through_kafka_headers() -> None:
    envelope = envelope_of(archived())
    read = Envelope.from_kafka(envelope.headers(), envelope.key, envelope.data)
    assert read == envelope
    assert isinstance(read.event(), WorkspaceArchived)
    assert dict(envelope.headers())["ce_source"] == b"/penguinmails/workspaces"
    assert envelope.key.decode() == tenant_key(envelope.tenant_id)


@pytest.mark.parametrize(
    "header", ["ce_id", "ce_type", "ce_tenantid", "ce_sequence", "ce_time", "ce_subject"]
)
def test_a_record_without_a_header_is_invalid(header: str) -> None:
    envelope = envelope_of(archived())
    headers = [(name, value) for name, value in envelope.headers() if name != header]
    with pytest.raises(InvalidEvent):
        Envelope.from_kafka(headers, envelope.key, envelope.data)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce_time", "0001-01-01T00:00:00+23:59"),
        ("ce_time", "9999-12-31T23:59:59-23:59"),
        ("ce_time", "2026-01-01T00:00:00"),
        ("ce_subject", "x" * 8000),
        ("ce_type", "x" * 8000),
        ("ce_source", "/penguinmails/" + "x" * 8000),
        ("ce_sequence", str(2**63)),
        ("ce_sequence", "9" * 5000),
    ],
)
def test_what_could_not_be_kept_is_invalid(header: str, value: str) -> None:
    envelope = envelope_of(archived())
    headers = [(name, value.encode() if name == header else held) for name, held in envelope.headers()]
    with pytest.raises(InvalidEvent):
        Envelope.from_kafka(headers, envelope.key, envelope.data)


@pytest.mark.parametrize(
    "trace", ["\x00", "00-1-1-01", "00-" + "a" * 32 + "-" + "b" * 16 + "-01\n", "é" * 9000]
)
def test_of_a_trace_that_is_none_nothing_is_kept(trace: str) -> None:
    envelope = envelope_of(archived())
    headers = [*envelope.headers(), ("traceparent", trace.encode()), ("tracestate", f"\x00{trace}".encode())]
    read = Envelope.from_kafka(headers, envelope.key, envelope.data)
    assert (read.traceparent, read.tracestate) == (None, None)
    good = ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "vendor=1")
    headers = [*envelope.headers(), ("traceparent", good[0].encode()), ("tracestate", good[1].encode())]
    read = Envelope.from_kafka(headers, envelope.key, envelope.data)
    assert (read.traceparent, read.tracestate) == good


def test_a_record_under_another_tenants_key_is_invalid() -> None:
    envelope = envelope_of(archived())
    with pytest.raises(InvalidEvent):
        Envelope.from_kafka(envelope.headers(), tenant_key(new_id()).encode(), envelope.data)


def test_an_unknown_type_is_no_event_and_a_broken_payload_is_invalid() -> None:
    envelope = envelope_of(archived())
    unknown = Envelope.from_kafka(
        [(n, b"penguinmails.Unheard.v9" if n == "ce_type" else v) for n, v in envelope.headers()],
        envelope.key,
        envelope.data,
    )
    assert unknown.event() is None
    with pytest.raises(InvalidEvent):
        Envelope.from_kafka(envelope.headers(), envelope.key, b"{}").event()
