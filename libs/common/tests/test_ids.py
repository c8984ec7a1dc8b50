"""Identifiers: text and back, and nothing but the canonical text."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from common.ids import Kind, WorkspaceId, age_seconds, new_id, parse, to_text


@given(st.uuids(), st.sampled_from(Kind))
def test_text_round_trip(value: UUID, kind: Kind) -> None:
    assert parse(kind, to_text(kind, value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ws_",
        "ws_01k2",
        "camp_01h455vb4pex5vsknk084sn02q",
        "ws_01h455vb4pex5vsknk084sn02q ",
        "WS_01h455vb4pex5vsknk084sn02q",
        "ws_01H455VB4PEX5VSKNK084SN02Q",
        "ws_81h455vb4pex5vsknk084sn02q",
        "ws_01h455vb4pex5vsknk084sn02u",
        "ws_01h455vb4pex5vsknk084sn02\x00",
        "ws_٠1h455vb4pex5vsknk084sn02q",
        "x" * 10_000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        parse(Kind.WORKSPACE, text)


def test_bodies_take_text_of_the_right_kind_only() -> None:
    class Body(BaseModel):
        workspace_id: WorkspaceId

    value = new_id()
    assert Body.model_validate({"workspace_id": to_text(Kind.WORKSPACE, value)}).workspace_id == value
    assert Body(workspace_id=value).model_dump(mode="json")["workspace_id"].startswith("ws_")
    for wrong in (to_text(Kind.CAMPAIGN, value), 1, None, ["ws"]):
        with pytest.raises(ValidationError):
            Body.model_validate({"workspace_id": wrong})


def test_age_comes_from_the_id_and_is_never_young_for_others() -> None:
    value = new_id()
    now = datetime.now(tz=UTC)
    assert 0 <= age_seconds(value, now + timedelta(milliseconds=2)) < 5
    assert age_seconds(uuid4(), now) == float("inf")
    assert age_seconds(value, now - timedelta(hours=1)) == float("inf"), "from the future"
