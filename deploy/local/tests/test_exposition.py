"""Metrics as Prometheus reads them from the collector."""

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from penguinmails import otlp
from penguinmails.exposition import KEPT_SECONDS, Exposition, prometheus_name

# As the OpenTelemetry Collector's Prometheus exporter names them.
NAMES = [
    ("http.server.request.duration", "s", False, "http_server_request_duration_seconds"),
    ("db.client.connection.count", "{connection}", False, "db_client_connection_count"),
    ("messaging.client.sent.messages", "{message}", True, "messaging_client_sent_messages_total"),
    ("process.uptime", "s", False, "process_uptime_seconds"),
    ("process.memory.usage", "By", False, "process_memory_usage_bytes"),
    ("process.cpu.time", "s", True, "process_cpu_time_seconds_total"),
    ("envoy.requests_total", "", True, "envoy_requests_total"),
    ("already.in.seconds", "s", False, "already_in_seconds"),
    ("odd-name/with  signs", "", False, "odd_name_with_signs"),
]


@pytest.mark.parametrize(("name", "unit", "counts", "expected"), NAMES)
def test_names_end_in_unit_and_total(name: str, unit: str, counts: bool, expected: str) -> None:
    assert prometheus_name(name, unit, counts=counts) == expected


def request() -> ExportMetricsServiceRequest:
    """A counter, a gauge and a histogram of one service."""
    made = ExportMetricsServiceRequest()
    group = made.resource_metrics.add()
    for key, value in (
        ("service.name", "auth"),
        ("service.namespace", "pm"),
        ("service.instance.id", 'a"b\\'),
    ):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_metrics.add()
    counter = scope.metrics.add(name="done", unit="{thing}", description="Things\nthat are done")
    counter.sum.is_monotonic = True
    counter.sum.data_points.add(as_int=0).attributes.add(key="app.kind").value.int_value = 3
    scope.metrics.add(name="age", unit="s").gauge.data_points.add(as_double=1.5)
    point = scope.metrics.add(name="took", unit="s").histogram.data_points.add(count=6, sum=2.5)
    point.explicit_bounds.extend((0.5, 1.0))
    point.bucket_counts.extend((3, 0, 3))
    return made


def test_points_become_lines() -> None:
    exposition = Exposition()
    exposition.take(otlp.metrics(request().SerializeToString()))
    target = r'job="pm/auth",instance="a\"b\\"'
    assert exposition.render().splitlines() == [
        "# HELP age_seconds ",
        "# TYPE age_seconds gauge",
        f"age_seconds{{{target}}} 1.5",
        r"# HELP done_total Things\nthat are done",
        "# TYPE done_total counter",
        f'done_total{{{target},app_kind="3"}} 0.0',
        "# HELP took_seconds ",
        "# TYPE took_seconds histogram",
        f'took_seconds_bucket{{{target},le="0.5"}} 3',
        f'took_seconds_bucket{{{target},le="1"}} 3',
        f'took_seconds_bucket{{{target},le="+Inf"}} 6',
        f"took_seconds_sum{{{target}}} 2.5",
        f"took_seconds_count{{{target}}} 6",
    ]


def test_the_newest_point_counts_and_what_nobody_sends_any_more_goes() -> None:
    now = 0.0
    exposition = Exposition(lambda: now)
    newer = request()
    newer.resource_metrics[0].scope_metrics[0].metrics[1].gauge.data_points[0].as_double = 2.5
    for made in (request(), newer):
        exposition.take(otlp.metrics(made.SerializeToString()))
    assert next(line for line in exposition.render().splitlines() if line.startswith("age")).endswith(" 2.5")
    now = KEPT_SECONDS + 1
    assert exposition.render() == ""
