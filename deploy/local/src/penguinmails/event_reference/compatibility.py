"""What in the contracts of today would break subscribers, or our own reading of events already written.

Both directions count. A new writer meets old readers: they ignore fields they do not know, but refuse values
their schema does not allow. Old events meet new readers: they stay readable for as long as history is kept.
"""

from collections.abc import Iterator
from typing import Any

from common.contracts.envelope import registry
from common.json_schema import SchemaComparison, Shape
from penguinmails.event_reference.samples import golden
from penguinmails.event_reference.schemas import headers_schema, payload_schemas

Json = dict[str, Any]


def contracts() -> Json:
    """What subscribers rely on: the headers, and per event its place, its schema and an example."""
    payloads, definitions = payload_schemas()
    events = {
        name: {"topic": cls.TOPIC, "subject": cls.SUBJECT, "payload": payloads[name], "example": golden(cls)}
        for name, cls in sorted(registry().items())
    }
    return {"headers": headers_schema(), "events": events, "schemas": definitions}


def breaks(released: Json, current: Json) -> list[str]:
    """Every breaking change between two `contracts()`, as a sentence."""
    return list(dict.fromkeys(_of_contracts(released, current)))


def unreadable(released: Json) -> list[str]:
    """Released events that the code of today cannot read; also notices rules that no schema tells."""
    found: list[str] = []
    for name, cls in sorted(registry().items()):
        if name not in released["events"]:
            continue
        try:
            cls.model_validate(released["events"][name]["example"]["payload"], extra="ignore")
        except ValueError as error:
            found.append(f"{name}: an event as written before cannot be read: {error}")
    return found


class _EventComparison(SchemaComparison):
    """Fields are closed for both sides: what one may write the other must allow.

    A field never goes missing by getting a default, because an event is written with all its fields.
    """

    def of_values(self, where: str, old: Shape, new: Shape, *, incoming: bool) -> Iterator[str]:
        yield from super().of_values(where, old, new, incoming=incoming)
        if old.enum and not old.open:
            yield from (f"{where}: value {value} is new" for value in sorted(new.enum - old.enum))
            if new.open:
                yield f"{where}: any value is new"
        for name in sorted({*old.limits, *new.limits}):
            if old.limits.get(name) != new.limits.get(name):
                yield f"{where}: {name} was {old.limits.get(name)}, is {new.limits.get(name)}"

    def of_missing(self, where: str, names: set[str]) -> Iterator[str]:
        yield from ()


def _of_contracts(old: Json, new: Json) -> Iterator[str]:
    comparison = _EventComparison(old["schemas"], new["schemas"])
    yield from SchemaComparison({}, {}).of_schemas("headers", old["headers"], new["headers"], incoming=False)
    for name, before in old["events"].items():
        after = new["events"].get(name)
        if after is None:
            yield f"{name} is gone"
            continue
        for place in ("topic", "subject"):
            if before[place] != after[place]:
                yield f"{name}: {place} was {before[place]}, is {after[place]}"
        for incoming in (True, False):
            yield from comparison.of_schemas(name, before["payload"], after["payload"], incoming=incoming)
