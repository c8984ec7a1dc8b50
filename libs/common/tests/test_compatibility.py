"""Which changes of the API document break clients."""

from copy import deepcopy
from typing import Any

import pytest

from common.web.compatibility import breaks

Json = dict[str, Any]

STATUS = {"type": "string", "enum": ["draft", "sent"]}
DOCUMENT: Json = {
    "paths": {
        "/things": {
            "post": {
                "operationId": "createThing",
                "security": [],
                "parameters": [{"in": "query", "name": "status", "schema": STATUS}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/c/s/ThingCreate"}}}},
                "responses": {"201": {"content": {"application/json": {"schema": {"$ref": "#/c/s/Thing"}}}}},
            }
        }
    },
    "components": {
        "schemas": {
            "ThingCreate": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "note": {"type": "string"}},
                "required": ["name"],
            },
            "Thing": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "status": STATUS},
                "required": ["name", "status"],
            },
        }
    },
}


def changed(path: str, value: Any = None) -> Json:
    """The document with what `path` names replaced, or without it."""
    document = deepcopy(DOCUMENT)
    *steps, last = path.split(">")
    place: Any = document
    for step in steps:
        place = place[int(step) if isinstance(place, list) else step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return document


POST = "paths>/things>post"
SCHEMAS = "components>schemas"


@pytest.mark.parametrize(
    ("new", "broken"),
    [
        (changed("paths>/things"), "POST /things is gone"),
        (changed(f"{POST}>operationId", "makeThing"), "called makeThing"),
        (changed(f"{POST}>security", [{"token": []}]), "needs an access token"),
        (changed(f"{POST}>parameters", []), "no longer takes query parameter status"),
        (changed(f"{POST}>parameters>0>required", True), "needs query parameter status"),
        (changed(f"{POST}>parameters>0>schema>enum", ["draft"]), "value sent is gone"),
        (changed(f"{POST}>responses", {}), "no longer answers 201"),
        (changed(f"{SCHEMAS}>ThingCreate>required", ["name", "note"]), "note is required"),
        (changed(f"{SCHEMAS}>ThingCreate>properties>note"), "note is gone"),
        (changed(f"{SCHEMAS}>ThingCreate>properties>note>type", "integer"), "string not taken any more"),
        (changed(f"{SCHEMAS}>Thing>properties>status"), "status is gone"),
        (changed(f"{SCHEMAS}>Thing>required", ["name"]), "status may be missing"),
        (changed(f"{SCHEMAS}>Thing>properties>name", {"type": "integer"}), "integer is new"),
    ],
)
def test_a_break_is_named(new: Json, broken: str) -> None:
    assert any(broken in sentence for sentence in breaks(DOCUMENT, new))


@pytest.mark.parametrize(
    "new",
    [
        DOCUMENT,
        changed("paths>/others", {"get": {}}),
        changed(f"{SCHEMAS}>ThingCreate>properties>more", {"type": "string"}),
        changed(f"{SCHEMAS}>ThingCreate>required", []),
        changed(f"{SCHEMAS}>Thing>properties>more", {"type": "string"}),
        changed(f"{POST}>parameters>0>schema>enum", ["draft", "sent", "paused"]),
        changed(f"{SCHEMAS}>ThingCreate>properties>note", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ],
)
def test_what_clients_survive_is_not_named(new: Json) -> None:
    assert breaks(DOCUMENT, new) == []
