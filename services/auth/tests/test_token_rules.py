"""Claims and the border between tokens before and after a revocation."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from auth.token.rules import Subject, access_claims, issue_time, whole_millisecond
from common.ids import new_id

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def issued_at(moment: datetime) -> datetime:
    """What a service reads from the `iat` of a token issued at `moment`."""
    subject = Subject(uuid4(), uuid4(), uuid4(), "a@b.example", "owner", [])
    claims = access_claims(subject, moment, "issuer", "audience")
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=round(claims["iat"] * 1000))


@given(MOMENTS)
def test_issue_times_are_whole_milliseconds_never_in_the_future(moment: datetime) -> None:
    assert timedelta(0) <= moment - issued_at(moment) < timedelta(milliseconds=1)


@given(MOMENTS, st.timedeltas(timedelta(0), timedelta(milliseconds=3)))
def test_a_revocation_ends_every_earlier_token_and_no_later_one(moment: datetime, gap: timedelta) -> None:
    before = whole_millisecond(moment)
    assert issued_at(moment - gap - timedelta(milliseconds=1)) < before
    assert issued_at(issue_time(moment + gap, before)) >= before


def test_a_token_names_fifty_workspaces_at_most() -> None:
    subject = Subject(uuid4(), uuid4(), uuid4(), "a@b.example", "member", [new_id() for _ in range(60)])
    claims = access_claims(subject, datetime.now(UTC), "issuer", "audience")
    assert len(claims["workspaces"]) == 50
    assert claims["role"] == "member"
