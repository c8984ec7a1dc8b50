"""Traces and logs: OpenTelemetry spans over OTLP, JSON log lines that carry trace and tenant ids.

Spans are made here rather than by instrumentation packages (see docs/adr/0006-own-spans.md).
"""

import contextvars
import json
import logging
import socket
import sys
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import Connection, Engine, event

from common import clock
from common.redaction import redact, redact_fields

_STACK_FRAMES = 12

tracer = trace.get_tracer("penguinmails")
_propagator = TraceContextTextMapPropagator()

log_fields: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("log_fields")
"""Ids of the request or event at hand (`tenant_id`, `user_id`, `request_id`); stand on each log line."""


def resource_of(service: str, roles: Sequence[str]) -> Resource:
    """What every span and metric of this process says of it; `OTEL_RESOURCE_ATTRIBUTES` goes before it.

    An instance is a place rather than a process: at a restart its counters fall back to 0, and no others
    begin beside them.
    """
    described = Resource.create(
        {
            "service.name": service,
            "service.namespace": "penguinmails",
            "service.instance.id": f"{socket.gethostname()}/{'+'.join(roles)}",
        }
    )
    return described.merge(OTELResourceDetector().detect())


def start_tracing(resource: Resource, endpoint: str, ratio: float) -> TracerProvider:
    """Install the tracer provider. Without an endpoint spans are made but sent nowhere."""
    provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(ratio)))
    if endpoint:
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    trace.set_tracer_provider(provider)
    return provider


def carrier(span: Span | None = None) -> dict[str, str]:
    """`traceparent` (and `tracestate`) of the span, or the current one, as stored with an outbox row."""
    headers: dict[str, str] = {}
    _propagator.inject(headers, None if span is None else trace.set_span_in_context(span, Context()))
    return headers


def remote_context(traceparent: str | None, tracestate: str | None = None) -> Context:
    """The context that a `traceparent` names; an empty one when it is absent or malformed."""
    if not traceparent:
        return Context()
    headers = {"traceparent": traceparent}
    if tracestate:
        headers["tracestate"] = tracestate
    return _propagator.extract(headers, context=Context())


def is_left_out(remote: Context) -> bool:
    """Whether the context names a trace that its beginner chose not to record."""
    named = trace.get_current_span(remote).get_span_context()
    return named.is_valid and not named.trace_flags.sampled


def current_trace_id() -> str:
    """Hex id of the current trace (32 digits), or an empty string outside any."""
    span_context = trace.get_current_span().get_span_context()
    return f"{span_context.trace_id:032x}" if span_context.is_valid else ""


@contextmanager
def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, parent: Context | None = None, **attributes: Any
) -> Generator[Span]:
    """A span that records an escaping exception by its type only (messages may hold personal data)."""
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    with tracer.start_as_current_span(
        name, context=parent, kind=kind, attributes=named, record_exception=False
    ) as current:
        try:
            yield current
        except Exception as error:
            current.set_attribute("error.type", type(error).__qualname__)
            current.set_status(Status(StatusCode.ERROR))
            raise


def is_recording() -> bool:
    """Whether the work at hand is traced."""
    return trace.get_current_span().is_recording()


@contextmanager
def statement_span(statement: str, database: str) -> Generator[None]:
    """A client span around a SQL statement, with its text but never its parameters."""
    current = _start_statement(statement, database)
    try:
        yield
    except BaseException as error:
        _note_failure(current, error)
        raise
    finally:
        current.end()


def _start_statement(statement: str, database: str) -> Span:
    verb = statement.split(maxsplit=1)[0].upper()
    attributes = {
        "db.system.name": "postgresql",
        "db.namespace": database,
        "db.operation.name": verb,
        "db.query.text": statement,
    }
    return tracer.start_span(f"{verb} {database}", kind=SpanKind.CLIENT, attributes=attributes)


def _note_failure(failed: Span, error: BaseException) -> None:
    failed.set_attribute("error.type", type(error).__name__)
    failed.set_status(Status(StatusCode.ERROR))


def trace_statements(engine: Engine) -> None:
    """A `statement_span` around each statement of the engine."""
    database = engine.url.database or ""

    @event.listens_for(engine, "before_cursor_execute")
    def start(
        conn: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if is_recording():
            conn.info["span"] = _start_statement(statement, database)

    @event.listens_for(engine, "after_cursor_execute")
    def finish(conn: Connection, *_: Any) -> None:
        current: Span | None = conn.info.pop("span", None)
        if current is not None:
            current.end()

    @event.listens_for(engine, "handle_error")
    def fail(context: Any) -> None:
        if context.connection is None:
            return
        current: Span | None = context.connection.info.pop("span", None)
        if current is not None:
            _note_failure(current, context.original_exception)
            current.end()


_write = json.JSONEncoder(ensure_ascii=False, default=str).encode


class JsonFormatter(logging.Formatter):
    """One JSON object per line. Exceptions appear by type and place, never by their message's values; secrets
    and addresses are taken out of everything else."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": clock.rfc3339(clock.now()),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": redact(record.getMessage()),
            "trace_id": current_trace_id(),
            **redact_fields({**log_fields.get({}), **getattr(record, "fields", {})}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__qualname__
            line["stack"] = "".join(traceback.format_tb(record.exc_info[2])[-_STACK_FRAMES:])
        return _write(line)


def start_logging(service: str, level: str) -> None:
    """JSON lines on standard output, which name neither threads nor processes, so nobody looks for those."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("aiokafka", "httpx", "alembic", "uvicorn.access", "stripe"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
