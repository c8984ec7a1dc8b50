"""Metrics: instruments made of `metric_names`, and their way out over OTLP.

Counters begin at 0 with the labels that are known beforehand: what Prometheus sees first at 1 has not
increased.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import add
from typing import Generic, TypeVar
from weakref import WeakSet

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from common.metric_names import EVENT_LOOP_DELAY, PROCESS_UPTIME, Metric

Labels = Mapping[str, str | int]
Thing = TypeVar("Thing")
Look = Callable[[Thing], Iterable[tuple[float, Labels]]]
"""What a thing has now: values with their labels. Called from the exporting thread."""

_EXPORT_SECONDS = 3
_NOTED_SECONDS = 60.0
_BEAT_SECONDS = 0.5

_meter = metrics.get_meter("penguinmails")
_beginnings: list[tuple[Counter, Labels]] = []
_began = time.monotonic()


def start_metrics(resource: Resource, endpoint: str, interval: float) -> MeterProvider:
    """Install the meter provider: everything is sent every `interval` seconds, or nowhere."""
    readers: list[MetricReader] = []
    if endpoint:
        exporter = OTLPMetricExporter(endpoint=f"{endpoint.rstrip('/')}/v1/metrics", timeout=_EXPORT_SECONDS)
        readers.append(PeriodicExportingMetricReader(exporter, export_interval_millis=interval * 1000))
    return install(MeterProvider(readers, resource))


def install(provider: MeterProvider) -> MeterProvider:
    """Have the instruments of this process report to `provider`, from their beginnings on."""
    metrics.set_meter_provider(provider)
    for begun, labels in _beginnings:
        begun.add(0, labels)
    return provider


def counter(metric: Metric, *beginnings: Labels) -> Counter:
    """A counter that shows 0 for each of `beginnings` from the start."""
    made = _meter.create_counter(metric.name, metric.unit, metric.text)
    _beginnings.extend((made, labels) for labels in beginnings)
    return made


def histogram(metric: Metric) -> Histogram:
    return _meter.create_histogram(
        metric.name, metric.unit, metric.text, explicit_bucket_boundaries_advisory=metric.buckets
    )


class Gauge(Generic[Thing]):
    """Asks all things that are watched what they have, whenever metrics are sent.

    What several of them have with the same labels is one value: `join` of theirs.
    """

    def __init__(
        self, metric: Metric, look: Look[Thing], join: Callable[[float, float], float] = add
    ) -> None:
        self._look, self._join = look, join
        self._things: WeakSet[Thing] = WeakSet()
        _meter.create_observable_gauge(metric.name, [self._observe], metric.unit, metric.text)

    def watch(self, thing: Thing) -> None:
        """Ask `thing`, too, as long as it lives."""
        self._things.add(thing)

    def _observe(self, _options: CallbackOptions) -> Iterator[Observation]:
        joined: dict[frozenset[tuple[str, str | int]], float] = {}
        for thing in list(self._things):
            for value, labels in self._look(thing):
                key = frozenset(labels.items())
                joined[key] = self._join(joined[key], value) if key in joined else value
        for key, value in joined.items():
            yield Observation(value, dict(key))


class Reading:
    """Shows what was noted last, for a minute: what nobody can measure any more is not shown."""

    def __init__(self, metric: Metric) -> None:
        self._label = metric.labels[0] if metric.labels else ""
        self._noted: dict[str, tuple[float, float]] = {}
        _meter.create_observable_gauge(metric.name, [self._observe], metric.unit, metric.text)

    def note(self, value: float, label: str = "") -> None:
        """`label` is the value of the metric's only one, if it has one."""
        self._noted[label] = (value, time.monotonic())

    def note_all(self, values: Mapping[str, float]) -> None:
        """These labels, and no others."""
        now = time.monotonic()
        self._noted = {label: (value, now) for label, value in values.items()}

    def _observe(self, _options: CallbackOptions) -> Iterator[Observation]:
        oldest = time.monotonic() - _NOTED_SECONDS
        for label, (value, at) in list(self._noted.items()):
            if at > oldest:
                yield Observation(value, {self._label: label} if label else {})


def _uptime(_options: CallbackOptions) -> Iterator[Observation]:
    yield Observation(time.monotonic() - _began)


_meter.create_observable_gauge(PROCESS_UPTIME.name, [_uptime], PROCESS_UPTIME.unit, PROCESS_UPTIME.text)
_delay = histogram(EVENT_LOOP_DELAY)


async def watch_event_loop() -> None:
    """Measure, until cancelled, how late the event loop comes."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _BEAT_SECONDS
        await asyncio.sleep(_BEAT_SECONDS)
        _delay.record(max(0.0, loop.time() - due))
