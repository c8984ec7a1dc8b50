"""`otel-collector.yaml` as the OpenTelemetry Collector takes it; the local stack has one of its own."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from tests.programs import needs
from tests.promql import told

from common.metric_names import METRICS
from penguinmails import ports
from penguinmails.home import REPOSITORY

OBSERVABILITY = REPOSITORY / "deploy" / "observability"
CONFIG = OBSERVABILITY / "otel-collector.yaml"
COLLECTOR = REPOSITORY / ".cache" / "bin" / "otelcol"
PERSONAL = ("app.tenant.id", "app.user.id", "app.request.id")

needs_collector = needs("the collector", COLLECTOR.exists(), "`make collector-check` builds it")


def validate(config: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(COLLECTOR), "validate", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_built_is_of_the_version_that_compose_runs() -> None:
    built = yaml.safe_load((OBSERVABILITY / "collector-builder.yaml").read_text())
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    version = built["dist"]["version"]
    image = compose["services"]["otel-collector"]["image"]
    assert image == f"otel/opentelemetry-collector-contrib:{version}"
    parts = [part["gomod"] for kind in ("receivers", "processors", "exporters") for part in built[kind]]
    assert {part.split(" v")[1] for part in parts} == {version}


@needs_collector
def test_the_collector_takes_its_configuration_and_refuses_a_broken_one(tmp_path: Path) -> None:
    assert (accepted := validate(CONFIG)).returncode == 0, accepted.stderr
    broken = tmp_path / "broken.yaml"
    broken.write_text(CONFIG.read_text().replace("metric_expiration", "metric_expires"))
    assert (refused := validate(broken)).returncode != 0
    assert "metric_expires" in refused.stderr


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The collector with its configuration, on free ports: where it takes OTLP and gives metrics."""
    taken: set[int] = set()
    http, grpc, exposed, health = [_free(taken) for _ in range(4)]
    here = tmp_path / "here.yaml"
    protocols = {"http": {"endpoint": http}, "grpc": {"endpoint": grpc}}
    places = {
        "receivers": {"otlp": {"protocols": protocols}},
        "exporters": {"prometheus": {"endpoint": exposed}},
        "extensions": {"health_check": {"endpoint": health}},
        "service": {"telemetry": {"metrics": {"level": "none"}}},
    }
    here.write_text(yaml.safe_dump(places))
    log = tmp_path / "log"
    command = [str(COLLECTOR), "--config", str(CONFIG), "--config", str(here)]
    environment = {**os.environ, "TRACES_ENDPOINT": _free(taken)}
    with log.open("wb") as output, subprocess.Popen(command, stderr=output, env=environment) as process:
        try:
            _await(f"http://{health}", process, log)
            yield {"otlp": f"http://{http}", "metrics": f"http://{exposed}/metrics"}
        finally:
            process.terminate()


def _free(taken: set[int]) -> str:
    port = ports.random_free(taken)
    taken.add(port)
    return f"127.0.0.1:{port}"


def _await(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while not _answers(url):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@needs_collector
def test_every_metric_is_named_as_rules_and_dashboards_do_and_no_tenant_is_in_it(
    collector: dict[str, str],
) -> None:
    headers = {"content-type": "application/x-protobuf"}
    sent = httpx.post(
        f"{collector['otlp']}/v1/metrics", content=every_metric().SerializeToString(), headers=headers
    )
    assert sent.status_code == 200, sent.text
    lines = _exposed(collector["metrics"])
    names = {re.split(r"[{ ]", line)[0] for line in lines}
    assert names - {"target_info"} == told()
    for line in lines:
        if not line.startswith("target_info"):
            assert 'job="penguinmails/auth"' in line
            assert 'app_kind="some"' in line
            assert "secret" not in line


def every_metric() -> ExportMetricsServiceRequest:
    """One point of each, with labels that must not come through."""
    made = ExportMetricsServiceRequest()
    group = made.resource_metrics.add()
    for key, value in (("service.name", "auth"), ("service.namespace", "penguinmails")):
        group.resource.attributes.add(key=key).value.string_value = value
    scope = group.scope_metrics.add()
    for metric in METRICS.values():
        told = scope.metrics.add(name=metric.name, unit=metric.unit, description=metric.text)
        if metric.kind == "histogram":
            told.histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            point = told.histogram.data_points.add(count=1, sum=0.1)
            point.explicit_bounds.extend(metric.buckets)
            point.bucket_counts.extend([1, *(0 for _ in metric.buckets)])
        elif metric.kind == "counter":
            told.sum.is_monotonic = True
            told.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            point = told.sum.data_points.add(as_int=1)
        else:
            point = told.gauge.data_points.add(as_double=1.0)
        point.time_unix_nano = time.time_ns()
        for key, value in {"app.kind": "some", **dict.fromkeys(PERSONAL, "secret")}.items():
            point.attributes.add(key=key).value.string_value = value
    return made


def _exposed(url: str) -> list[str]:
    """What Prometheus finds there, as soon as there is something: the collector works in batches."""
    deadline = time.monotonic() + 20
    while not (lines := [line for line in httpx.get(url).text.splitlines() if line[:1] not in ("#", "")]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return lines
