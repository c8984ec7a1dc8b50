"""JSON Schemas of the envelope and of all payloads, as a subscriber should read them."""

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from common.contracts.envelope import SPEC_VERSION, TYPE_PREFIX, registry
from common.ids import EventId, TenantId

Json = dict[str, Any]

_REF = "#/components/schemas/{model}"
_TRACE = "W3C Trace Context of the span that published the event"


class _ReadersSchema(GenerateJsonSchema):
    """Without the refusal of further fields, which binds writers only, and without titles of fields."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        made.pop("additionalProperties", None)
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def payload_schemas() -> tuple[dict[str, Json], Json]:
    """The schema of each `ce_type`'s payload, and the definitions that it refers to.

    Events are read open, so the schemas allow fields they do not name. Fields with a default are not
    required: events written before such a field existed lack it.
    """
    events = registry()
    found, collected = models_json_schema(
        [(cls, "validation") for cls in events.values()], ref_template=_REF, schema_generator=_ReadersSchema
    )
    definitions: Json = dict(sorted(collected["$defs"].items()))
    return {name: found[cls, "validation"] for name, cls in sorted(events.items())}, definitions


def headers_schema() -> Json:
    """The Kafka headers of every event; values are UTF-8 text."""
    tenant, event = TypeAdapter(TenantId).json_schema(), TypeAdapter(EventId).json_schema()
    described = {
        "ce_specversion": {"const": SPEC_VERSION, "description": "Version of CloudEvents"},
        "ce_id": {**event, "description": "The event; the same when it is delivered again"},
        "ce_source": {
            "pattern": f"^/{TYPE_PREFIX}/[a-z]+$",
            "description": "The service that published it",
        },
        "ce_type": {
            "pattern": f"^{TYPE_PREFIX}\\.[A-Za-z]+\\.v[1-9][0-9]*$",
            "description": "Name and version; decides the schema of the payload",
        },
        "ce_time": {"format": "date-time", "description": "When it happened, UTC"},
        "ce_subject": {"description": "Id of the aggregate; order is promised per subject"},
        "ce_tenantid": {**tenant, "description": "The tenant it belongs to"},
        "ce_partitionkey": {**tenant, "description": "The record's key: the tenant"},
        "ce_sequence": {
            "pattern": "^[0-9]+$",
            "description": "Contiguous per source; the same when it is published again",
        },
        "content-type": {"const": "application/json"},
        "traceparent": {
            "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": _TRACE,
        },
        "tracestate": {"description": _TRACE},
    }
    return {
        "type": "object",
        "properties": {name: {"type": "string", **schema} for name, schema in described.items()},
        "required": [name for name in described if name not in ("traceparent", "tracestate")],
    }
