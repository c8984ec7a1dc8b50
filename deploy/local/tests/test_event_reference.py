"""What subscribers are given says what the contracts say, and the gate refuses what would break them."""

import json
from copy import deepcopy
from typing import Annotated, Any, ClassVar, Literal

import jsonschema_rs
import pytest
import yaml
from pydantic import AfterValidator, Field, create_model

from common.contracts import envelope, registry
from common.contracts.envelope import TOPICS, Event, Part
from common.ids import CampaignId, TenantId
from penguinmails.event_reference import asyncapi, compatibility, pages
from penguinmails.event_reference.samples import golden

Json = dict[str, Any]

NAME = "penguinmails.ThingMade.v1"
EVENTS = sorted(registry().items())


class Box(Part):
    size: int
    label: str | None = None


FIELDS: Json = {
    "tenant_id": (TenantId, ...),
    "name": (str, ...),
    "note": (str, ""),
    "kind": (Literal["big", "small"], ...),
    "box": (Box, ...),
    "boxes": (tuple[Box, ...], ()),
    "colours": (dict[str, int], {}),
    "short": (Annotated[str, Field(max_length=9)], ...),
}


@pytest.fixture(scope="module")
def components() -> Json:
    return asyncapi.document()["components"]


def contracts(monkeypatch: pytest.MonkeyPatch, fields: Json, **declared: str) -> Json:
    """The contracts when the registry holds one event with these fields, which is registered afterwards."""
    monkeypatch.setattr(envelope, "_REGISTRY", {})
    places = {"TOPIC": TOPICS[0], "SUBJECT": "tenant_id", "RESOURCE": "thing", "ACTION": None, "LIFE": "none"}
    places |= declared
    base = type("_Base", (Event,), {"__annotations__": dict.fromkeys(places, ClassVar[Any]), **places})
    create_model("ThingMade", __base__=base, **fields)
    return compatibility.contracts()


def without(name: str) -> Json:
    return {key: value for key, value in FIELDS.items() if key != name}


def box(**fields: Any) -> tuple[Any, Any]:
    return create_model("Box", __base__=Part, **fields), ...


BREAKS = [
    ("a field is removed", without("name"), f"{NAME}.name is gone"),
    ("an optional field is removed", without("note"), f"{NAME}.note is gone"),
    ("a field is renamed", {**without("name"), "title": (str, ...)}, f"{NAME}.name is gone"),
    ("a new field has no default", {**FIELDS, "more": (str, ...)}, f"{NAME}.more is required"),
    ("an optional field becomes required", {**FIELDS, "note": (str, ...)}, f"{NAME}.note is required"),
    ("a type changes", {**FIELDS, "name": (int, ...)}, f"{NAME}.name: string not taken any more"),
    ("a field may be null", {**FIELDS, "name": (str | None, ...)}, f"{NAME}.name: null is new"),
    (
        "an id is of another kind",
        {**FIELDS, "tenant_id": (CampaignId, ...)},
        f"{NAME}.tenant_id: pattern was",
    ),
    ("a value is new", {**FIELDS, "kind": (Literal["big", "small", "tiny"], ...)}, "value tiny is new"),
    ("a value is gone", {**FIELDS, "kind": (Literal["big"], ...)}, f"{NAME}.kind: value small is gone"),
    ("any text is new", {**FIELDS, "kind": (str, ...)}, f"{NAME}.kind: any value is new"),
    ("only some texts are left", {**FIELDS, "name": (Literal["a"], ...)}, f"{NAME}.name: only some values"),
    (
        "a limit is higher",
        {**FIELDS, "short": (Annotated[str, Field(max_length=99)], ...)},
        "maxLength was 9",
    ),
    ("a limit is gone", {**FIELDS, "short": (str, ...)}, f"{NAME}.short: maxLength was 9, is None"),
    ("a part loses a field", {**FIELDS, "box": box(size=(int, ...))}, f"{NAME}.box.label is gone"),
    (
        "a part of a list changes",
        {**FIELDS, "boxes": (tuple[box(size=(str, ...), label=(str | None, None))[0], ...], ())},
        f"{NAME}.boxes[].size: integer not taken any more",
    ),
    ("a mapping's values change", {**FIELDS, "colours": (dict[str, str], {})}, f"{NAME}.colours[]: integer"),
]

SURVIVED = [
    ("nothing changes", FIELDS),
    ("a new field has a default", {**FIELDS, "more": (str | None, None)}),
    ("a field gets a default: it is still written", {**FIELDS, "name": (str, "nameless")}),
    (
        "a part gets an optional field",
        {**FIELDS, "box": box(size=(int, ...), label=(str | None, None), more=(int, 0))},
    ),
    ("an example changes", {**FIELDS, "name": (Annotated[str, Field(examples=["other"])], ...)}),
]


@pytest.mark.parametrize(
    ("fields", "broken"), [case[1:] for case in BREAKS], ids=[case[0] for case in BREAKS]
)
def test_the_gate_refuses(monkeypatch: pytest.MonkeyPatch, fields: Json, broken: str) -> None:
    released = contracts(monkeypatch, FIELDS)
    found = compatibility.breaks(released, contracts(monkeypatch, fields))
    assert any(broken in sentence for sentence in found), found


@pytest.mark.parametrize("fields", [case[1] for case in SURVIVED], ids=[case[0] for case in SURVIVED])
def test_the_gate_lets_pass(monkeypatch: pytest.MonkeyPatch, fields: Json) -> None:
    released = contracts(monkeypatch, FIELDS)
    assert compatibility.breaks(released, contracts(monkeypatch, fields)) == []
    assert compatibility.unreadable(released) == []


def test_the_gate_refuses_another_place_and_an_event_without_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = contracts(monkeypatch, FIELDS)
    moved = contracts(monkeypatch, FIELDS, TOPIC=TOPICS[1])
    assert compatibility.breaks(released, moved) == [f"{NAME}: topic was {TOPICS[0]}, is {TOPICS[1]}"]
    keyed = contracts(monkeypatch, {**FIELDS, "box_id": (str, "")}, SUBJECT="box_id")
    assert compatibility.breaks(released, keyed) == [f"{NAME}: subject was tenant_id, is box_id"]
    assert compatibility.breaks(released, {**released, "events": {}}) == [f"{NAME} is gone"]


def test_the_gate_lets_a_new_event_pass_and_refuses_a_header_less(monkeypatch: pytest.MonkeyPatch) -> None:
    released = contracts(monkeypatch, FIELDS)
    assert compatibility.breaks({**released, "events": {}}, released) == []
    current = deepcopy(released)
    del current["headers"]["properties"]["ce_id"]
    assert "headers.ce_id is gone" in compatibility.breaks(released, current)


def test_the_gate_refuses_rules_that_no_schema_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    released = contracts(monkeypatch, FIELDS)

    def shout(text: str) -> str:
        if text != text.upper():
            raise ValueError("too quiet")
        return text

    louder = (Annotated[str, AfterValidator(shout), Field(examples=["NAME"])], ...)
    assert compatibility.breaks(released, contracts(monkeypatch, {**FIELDS, "name": louder})) == []
    (found,) = compatibility.unreadable(released)
    assert "too quiet" in found


@pytest.mark.parametrize(("ce_type", "event"), EVENTS)
def test_examples_keep_the_published_schemas(components: Json, ce_type: str, event: type[Event]) -> None:
    message, example = components["messages"][ce_type.removeprefix("penguinmails.")], golden(event)
    for part in ("headers", "payload"):
        schema = {**message[part], "components": components}
        jsonschema_rs.validator_for(schema).validate(example[part])


def test_subscribers_may_meet_fields_they_do_not_know() -> None:
    assert "additionalProperties" not in json.dumps(asyncapi.document())


def test_every_topic_has_channel_key_and_dead_letters() -> None:
    document = yaml.safe_load(asyncapi.render())
    assert document["asyncapi"] == "3.0.0"
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {name for topic in TOPICS for name in (topic, f"{topic}.dlq")}
    told = {key for channel in document["channels"].values() for key in channel["messages"]}
    assert told == {name.removeprefix("penguinmails.") for name in registry()} | {"DeadLetter"}
    assert {one["action"] for one in document["operations"].values()} == {"send", "receive"}


def test_what_no_event_claims_any_more_is_stale(tmp_path: Any) -> None:
    (tmp_path / pages.guide.TEMPLATE).parent.mkdir(parents=True)
    (tmp_path / pages.guide.TEMPLATE).write_text("# Events\n")
    pages.write(tmp_path)
    assert pages.stale(tmp_path) == []
    (tmp_path / pages.GOLDEN / "penguinmails.Forgotten.v1.json").write_text("{}")
    (tmp_path / pages.DOCUMENT).write_text("asyncapi: 3.0.0\n")
    assert pages.stale(tmp_path) == [
        str(pages.DOCUMENT),
        str(pages.GOLDEN / "penguinmails.Forgotten.v1.json"),
    ]
    pages.write(tmp_path)
    assert pages.stale(tmp_path) == []
