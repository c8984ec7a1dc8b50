"""What this process has measured, for tests."""

from functools import lru_cache

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint

from common import metrics
from common.metric_names import Metric

Labels = frozenset[tuple[str, str | int]]


@lru_cache(maxsize=1)
def _reader() -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    metrics.install(MeterProvider([reader]))
    return reader


def measure() -> dict[str, dict[Labels, float]]:
    """The value of each series by metric and labels: of histograms, how many values they have."""
    data = _reader().get_metrics_data()
    found: dict[str, dict[Labels, float]] = {}
    for group in data.resource_metrics if data else ():
        for scope in group.scope_metrics:
            for one in scope.metrics:
                series = found.setdefault(one.name, {})
                for point in one.data.data_points:
                    series[frozenset((point.attributes or {}).items())] = _value(point)  # type: ignore[arg-type]
    return found


def value_of(metric: Metric, **labels: str) -> float:
    """The sum of the metric's series that have these labels, whose dots are written as `__`."""
    wanted = {(key.replace("__", "."), value) for key, value in labels.items()}
    series = measure().get(metric.name, {})
    return sum(value for one, value in series.items() if wanted <= one)


def _value(point: object) -> float:
    if isinstance(point, HistogramDataPoint):
        return point.count
    return point.value if isinstance(point, NumberDataPoint) else 0.0
