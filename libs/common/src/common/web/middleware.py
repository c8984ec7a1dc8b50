"""Pure ASGI middleware around every request: ids, one server span, body limit, one log line."""

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, use_span
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common import metrics, telemetry
from common.errors import PayloadTooLarge
from common.ids import new_id
from common.metric_names import HTTP_SERVER_REQUEST_DURATION
from common.redaction import redact
from common.web.ratelimit import Quota

log = logging.getLogger("common.access")

BODY_LIMIT = 1024 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
_OTHER = "_OTHER"
"""As the semantic conventions call every other method."""

_duration = metrics.histogram(HTTP_SERVER_REQUEST_DURATION)


class RequestMiddleware:
    """Gives each request its ids and span, and bounds its body (bytes).

    From `leaving` on every answer closes its connection, so that the next request goes to another process.
    """

    def __init__(self, app: ASGIApp, leaving: asyncio.Event, body_limit: int = BODY_LIMIT) -> None:
        self._app = app
        self._leaving = leaving
        self._limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/health/"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
        scope.setdefault("state", {})["request_id"] = request_id
        telemetry.log_fields.set({"request_id": request_id})
        parent = telemetry.remote_context(headers.get("traceparent"), headers.get("tracestate"))
        begun = telemetry.tracer.start_span(
            scope["method"], context=parent, kind=SpanKind.SERVER, attributes=_request_attributes(scope)
        )
        with use_span(begun, end_on_exit=True) as span:
            exchange = _Exchange(scope, receive, send, self._limit, request_id, self._leaving)
            try:
                await self._app(scope, exchange.receive, exchange.send)
            finally:
                route = getattr(scope.get("route"), "path_format", "")
                if span.is_recording():
                    _describe(span, scope, route, exchange.status)
                exchange.measure(route)
                exchange.log(route)


def _describe(span: Span, scope: Scope, route: str, status: int) -> None:
    """What is known of a request only once it is answered."""
    span.update_name(f"{scope['method']} {route}".strip())
    span.set_attribute("http.route", route)
    if route:
        span.set_attribute("url.path", _shown_path(scope))
    span.set_attribute("http.response.status_code", status)
    for name, value in telemetry.log_fields.get({}).items():
        span.set_attribute(f"app.{name.removesuffix('_id')}.id", value)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


class _Exchange:
    """The wrapped channels of one request."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limit: int,
        request_id: str,
        leaving: asyncio.Event,
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._limit, self._request_id, self._leaving = limit, request_id, leaving
        self._read = 0
        self._started = time.perf_counter()
        self._seconds = 0.0
        self.status = 500

    async def receive(self) -> Message:
        declared = Headers(scope=self._scope).get("content-length", "0")
        if self._read == 0 and declared.isdecimal() and int(declared) > self._limit:
            raise PayloadTooLarge(self._limit)
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._limit:
                raise PayloadTooLarge(self._limit)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers()]
        await self._send(message)

    def _headers(self) -> Iterator[tuple[bytes, bytes]]:
        """What stands on every answer; nobody else sets any of it."""
        yield b"x-request-id", self._request_id.encode()
        if trace_id := telemetry.current_trace_id():
            yield b"x-trace-id", trace_id.encode()
        if self._leaving.is_set():
            yield b"connection", b"close"
        quota: Quota | None = self._scope["state"].get("quota")
        if quota is not None and self.status != 401:  # not to those whom the tenant has shut out
            for name, value in quota.headers().items():
                yield name.lower().encode(), value.encode()

    def measure(self, route: str) -> None:
        self._seconds = time.perf_counter() - self._started
        method: str = self._scope["method"]
        labels = _labels(method if method in _METHODS else _OTHER, route, self.status, self._scope["scheme"])
        _duration.record(self._seconds, labels)

    def log(self, route: str) -> None:
        fields: dict[str, Any] = {
            "method": self._scope["method"],
            "route": route,
            "status": self.status,
            "milliseconds": round(self._seconds * 1000, 1),
        }
        if log.isEnabledFor(logging.INFO):  # by hand: nobody reads from which line of ours it comes
            record = log.makeRecord(
                log.name, logging.INFO, "", 0, "request", (), None, extra={"fields": fields}
            )
            log.handle(record)


@lru_cache(maxsize=4096)
def _labels(method: str, route: str, status: int, scheme: str) -> metrics.Labels:
    """`route` is a template of ours or empty, never a path."""
    labels: dict[str, str | int] = {
        "http.request.method": method,
        "http.response.status_code": status,
        "url.scheme": scheme,
    }
    if route:
        labels["http.route"] = route
    if status >= 500:
        labels["error.type"] = str(status)
    return labels


def _shown_path(scope: Scope) -> str:
    """The path with its ids only: what else is in a path may open something to whoever has it."""
    path: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        if not name.endswith("_id"):
            path = path.replace(str(value), f"{{{name}}}")
    return redact(path)


def _request_attributes(scope: Scope) -> dict[str, Any]:
    return {
        "http.request.method": scope["method"],
        "url.scheme": scope["scheme"],
    }
