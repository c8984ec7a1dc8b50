"""OTLP protobuf messages as OTLP/JSON: ids in hexadecimal, 64-bit numbers as text, enums as numbers."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

Json = dict[str, Any]


def traces(body: bytes) -> Json:
    """Written by hand: spans come by the thousand and the generic way is ten times slower."""
    request = ExportTraceServiceRequest.FromString(body)
    return {"resourceSpans": [_resource_spans(group) for group in request.resource_spans]}


def metrics(body: bytes) -> Json:
    return _plainly(ExportMetricsServiceRequest.FromString(body))


def logs(body: bytes) -> Json:
    return _plainly(ExportLogsServiceRequest.FromString(body))


def _plainly(message: Any) -> Json:
    return MessageToDict(message, use_integers_for_enums=True)


def _resource_spans(group: ResourceSpans) -> Json:
    resource = {"attributes": _attributes(group.resource.attributes)}
    return {"resource": resource, "scopeSpans": [_scope_spans(scope) for scope in group.scope_spans]}


def _scope_spans(scope: ScopeSpans) -> Json:
    return {
        "scope": {"name": scope.scope.name, "version": scope.scope.version},
        "spans": [_span(span) for span in scope.spans],
    }


def _span(span: Span) -> Json:
    made: Json = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_time_unix_nano),
        "endTimeUnixNano": str(span.end_time_unix_nano),
        "attributes": _attributes(span.attributes),
        "status": {"code": span.status.code, "message": span.status.message},
    }
    if span.events:
        made["events"] = [_event(event) for event in span.events]
    if span.links:
        made["links"] = [_link(link) for link in span.links]
    return made


def _event(event: Span.Event) -> Json:
    return {
        "timeUnixNano": str(event.time_unix_nano),
        "name": event.name,
        "attributes": _attributes(event.attributes),
    }


def _link(link: Span.Link) -> Json:
    ids = {"traceId": link.trace_id.hex(), "spanId": link.span_id.hex()}
    return {**ids, "attributes": _attributes(link.attributes)}


def _attributes(attributes: Iterable[KeyValue]) -> list[Json]:
    return [{"key": attribute.key, "value": _value(attribute.value)} for attribute in attributes]


def _value(value: AnyValue) -> Json:
    match value.WhichOneof("value"):
        case "string_value":
            return {"stringValue": value.string_value}
        case "int_value":
            return {"intValue": str(value.int_value)}
        case "bool_value":
            return {"boolValue": value.bool_value}
        case "double_value":
            return {"doubleValue": value.double_value}
        case _:
            return _plainly(value)
