"""One instance of every event, always the same; its values follow from the types of its fields."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from common.contracts.envelope import Envelope, Event

Json = dict[str, Any]

_TIME = datetime(2026, 1, 1, 12, tzinfo=UTC)
_EVENT_ID = UUID("01932c07-209d-7a5c-8e66-6e3f0d9a5b11")
_TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def sample(cls: type[Event]) -> Event:
    """An instance with every field filled, optional ones too."""
    schema = cls.model_json_schema()
    return cls.model_validate(_value(cls.__name__, schema, schema.get("$defs", {})))


def golden(cls: type[Event]) -> Json:
    """The sample as it stands in Kafka: topic, key, headers and payload."""
    event = sample(cls)
    envelope = Envelope(
        event_id=_EVENT_ID,
        source=getattr(event, "service", cls.home() or "campaigns"),
        type=cls.ce_type(),
        time=_TIME,
        subject=event.subject,
        tenant_id=getattr(event, "tenant_id"),  # noqa: B009  # every event's, though not the base class's
        sequence=1,
        data=event.model_dump_json().encode(),
        traceparent=_TRACEPARENT,
    )
    return {
        "topic": cls.TOPIC,
        "key": envelope.key.decode(),
        "headers": {name: value.decode() for name, value in envelope.headers()},
        "payload": json.loads(envelope.data),
    }


def _value(name: str, schema: Json, definitions: Json) -> Any:
    if "$ref" in schema:
        return _value(name, definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        first = next(one for one in schema["anyOf"] if one.get("type") != "null")
        return _value(
            name, {**first, **{key: schema[key] for key in schema if key == "examples"}}, definitions
        )
    if "examples" in schema:
        return schema["examples"][0]
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    return _value_of_type(name, schema, definitions)


def _value_of_type(name: str, schema: Json, definitions: Json) -> Any:
    match schema["type"]:
        case "object" if "properties" not in schema:  # a mapping
            return {"key": _value(name, schema["additionalProperties"], definitions)}
        case "object":
            return {key: _value(key, one, definitions) for key, one in schema["properties"].items()}
        case "array":
            return [_value(name, schema["items"], definitions)]
        case "string":
            return _TIME.isoformat() if schema.get("format") == "date-time" else name.replace("_", " ")
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case kind:
            raise TypeError(f"no sample of {name}, a {kind}: give the field an example")
