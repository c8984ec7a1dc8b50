"""Metrics that came over OTLP, in Prometheus' text format: named and labelled as the Collector's
Prometheus exporter does, so that dashboards and rules are the same on both.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Labels = tuple[tuple[str, str], ...]

KEPT_SECONDS = 60.0
"""How long a series stays that nobody sends any more: the exporter's `metric_expiration`."""
_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "%": "percent"}
_KINDS = ("gauge", "sum", "histogram")


@dataclass
class Family:
    """The series of one metric: the lines of each, and when it came."""

    kind: str
    text: str
    series: dict[Labels, tuple[float, list[str]]] = field(
        default_factory=dict[Labels, tuple[float, list[str]]]
    )


class Exposition:
    """The newest point of each series."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._families: dict[str, Family] = {}

    def take(self, message: Json) -> None:
        """Note the points of an `ExportMetricsServiceRequest` as OTLP/JSON, all cumulative."""
        for group in message.get("resourceMetrics", ()):
            target = _target(group.get("resource", {}).get("attributes", ()))
            for scope in group.get("scopeMetrics", ()):
                for metric in scope.get("metrics", ()):
                    self._take(metric, target)

    def render(self) -> str:
        oldest = self._clock() - KEPT_SECONDS
        lines: list[str] = []
        for name, family in sorted(self._families.items()):
            family.series = {key: one for key, one in family.series.items() if one[0] > oldest}
            if family.series:
                lines += (f"# HELP {name} {_escape(family.text)}", f"# TYPE {name} {family.kind}")
                lines += (line for _, series in family.series.values() for line in series)
        return "".join(f"{line}\n" for line in lines)

    def _take(self, metric: Json, target: Labels) -> None:
        shape = next((kind for kind in _KINDS if kind in metric), None)
        if shape is None:
            return
        counts = shape == "sum" and metric[shape].get("isMonotonic", False)
        name = prometheus_name(metric["name"], metric.get("unit", ""), counts=counts)
        kind = "histogram" if shape == "histogram" else "counter" if counts else "gauge"
        family = self._families.setdefault(name, Family(kind, metric.get("description", "")))
        for point in metric[shape].get("dataPoints", ()):
            labels = (*target, *_labels(point.get("attributes", ())))
            lines = (
                _buckets(name, labels, point)
                if kind == "histogram"
                else [_line(name, labels, _number(point))]
            )
            family.series[labels] = (self._clock(), lines)


def prometheus_name(name: str, unit: str, *, counts: bool = False) -> str:
    """The name in Prometheus: unit spelt out at the end unless it is an annotation, `_total` for counters."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word and not (counts and word == "total")]
    suffix = _UNITS.get(unit)
    if suffix is not None and suffix not in words:
        words.append(suffix)
    return "_".join([*words, *(["total"] if counts else [])])


def _target(attributes: Iterable[Json]) -> Labels:
    told = dict(_pairs(attributes))
    job = "/".join(part for key in ("service.namespace", "service.name") if (part := told.get(key)))
    return (("job", job), ("instance", told.get("service.instance.id", "")))


def _labels(attributes: Iterable[Json]) -> Iterator[tuple[str, str]]:
    for key, value in sorted(_pairs(attributes)):
        yield re.sub(r"[^A-Za-z0-9_]", "_", key), value


def _pairs(attributes: Iterable[Json]) -> Iterator[tuple[str, str]]:
    for attribute in attributes:
        yield attribute["key"], str(next(iter(attribute["value"].values()), ""))


def _number(point: Json) -> float:
    return float(point.get("asDouble", point.get("asInt", 0)))


def _buckets(name: str, labels: Labels, point: Json) -> list[str]:
    """Cumulative counts up to each bound, the sum and the count."""
    seen, lines = 0, list[str]()
    counts = [int(count) for count in point.get("bucketCounts", ())]
    bounds = [*(f"{float(bound):g}" for bound in point.get("explicitBounds", ())), "+Inf"]
    for bound, count in zip(bounds, counts, strict=True):
        seen += count
        lines.append(_line(f"{name}_bucket", (*labels, ("le", bound)), seen))
    lines.append(_line(f"{name}_sum", labels, float(point.get("sum", 0))))
    lines.append(_line(f"{name}_count", labels, int(point.get("count", 0))))
    return lines


def _line(name: str, labels: Labels, value: float) -> str:
    written = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
    return f"{name}{{{written}}} {value!r}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
