"""Judgement without a database."""

from typing import Any
from uuid import UUID

import pytest

from audit.detection.rules import Access, Verdict, correct, is_write, judge, kind_of, may_be_born
from common import clock
from common.contracts.envelope import Actor
from common.ids import Kind, new_id, to_text

OURS, THEIRS = new_id(), new_id()


def access(kind: Any, resource: str | None = "camp_x", *, writes: bool = False) -> Access:
    return Access(OURS, new_id(), clock.now(), kind, resource, writes, Actor(type="user", id="user_x"))


ATTEMPT, BREACH = "cross_tenant_attempt", "isolation_breach"


@pytest.mark.parametrize(
    ("kind", "writes", "owner", "verdict"),
    [
        ("explicit", False, THEIRS, Verdict(ATTEMPT, "high", THEIRS)),
        ("explicit", True, None, Verdict(ATTEMPT, "medium")),
        ("missed", False, THEIRS, Verdict(ATTEMPT, "medium", THEIRS)),
        ("missed", True, THEIRS, Verdict(ATTEMPT, "high", THEIRS)),
        ("missed", True, None, Verdict("not_found", "low")),
        ("missed", True, OURS, None),
        ("denied", False, THEIRS, Verdict(ATTEMPT, "medium", THEIRS)),
        ("denied", True, None, None),
        ("denied", True, OURS, None),
        ("succeeded", False, THEIRS, Verdict(BREACH, "critical", THEIRS)),
        ("succeeded", True, OURS, None),
        ("succeeded", True, None, None),
    ],
)
def test_the_owner_decides(kind: str, writes: bool, owner: UUID | None, verdict: Verdict | None) -> None:
    assert judge(access(kind, writes=writes), owner) == verdict


def test_an_explicit_attempt_that_the_database_stopped_names_nobody() -> None:
    assert judge(access("explicit", None), None) == Verdict(ATTEMPT, "high")


def test_a_miss_is_taken_back_when_the_resource_turns_out_to_be_ones_own() -> None:
    assert correct(access("missed"), OURS) == Verdict("none", "low")
    assert correct(access("missed"), THEIRS) == Verdict(ATTEMPT, "medium", THEIRS)
    assert correct(access("denied"), OURS) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "_",
        "camp_",
        "camp",
        "camp_1",
        "CAMP_01m7zzzzzzzzzzzzzzzzzzzzzz",
        "a\x00b",
        "camp_" + "z" * 26,
        "🐧_🐧",
    ],
)
def test_hostile_text_is_no_resource(text: str) -> None:
    assert kind_of(text) is None
    assert not may_be_born(text)


def test_events_tell_of_the_births_of_campaigns_but_not_of_log_entries() -> None:
    assert may_be_born(to_text(Kind.CAMPAIGN, new_id()))
    assert not may_be_born(to_text(Kind.AUDIT_EVENT, new_id()))
    assert kind_of(to_text(Kind.AUDIT_EVENT, new_id())) is Kind.AUDIT_EVENT


def test_what_writes() -> None:
    assert [is_write(method) for method in ("GET", "head", "POST", "DELETE", None)] == [
        *(False, False),
        *(True, True, True),
    ]
