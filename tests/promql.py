"""The metrics that PromQL names: enough of its grammar to find them, checked by promtool elsewhere."""

import re
from collections.abc import Iterable

from common.metric_names import METRICS
from penguinmails.exposition import prometheus_name

PROMETHEUS_OWN = frozenset({"up"})
"""Series that Prometheus makes of its scrapes."""

_LEFT_OUT = re.compile(
    r"""
      "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*'                        # strings
    | \{[^{}]*\}                                                  # matchers, once their strings are gone
    | \[[^\[\]]*\]                                                # ranges
    | \b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)
    | \b(?:bool|offset\s+-?\w+)\b
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"(?<![\w:.])[A-Za-z_:][\w:]*(?!\s*\()(?![\w:])")
_WORDS = frozenset({"and", "or", "unless", "inf", "nan"})
_ENDINGS = ("_bucket", "_sum", "_count")


def metrics_of(query: str) -> set[str]:
    """Names of all series that the query reads."""
    strings = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""")
    rest = _LEFT_OUT.sub(" ", strings.sub(" ", query))
    return {name for name in _NAME.findall(rest) if name.lower() not in _WORDS} - PROMETHEUS_OWN


def told() -> set[str]:
    """Names in Prometheus of all series of `metric_names`."""
    names: set[str] = set()
    for metric in METRICS.values():
        name = prometheus_name(metric.name, metric.unit, counts=metric.kind == "counter")
        names |= {f"{name}{ending}" for ending in _ENDINGS} if metric.kind == "histogram" else {name}
    return names


def metrics_of_all(queries: Iterable[str]) -> set[str]:
    return set().union(*(metrics_of(query) for query in queries))
