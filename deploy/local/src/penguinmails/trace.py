"""The span tree of one trace, out of the files the collector writes."""

import json
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

QUIET = 0.8
"""Spans come in batches: a trace is complete when none has arrived for so long."""

NOTABLE = ("http.response.status_code", "http.status_code", "messaging.destination.name", "app.tenant.id")


@dataclass(frozen=True)
class Span:
    span_id: str
    parent_id: str
    service: str
    name: str
    start: int
    """Nanoseconds since 1970."""
    end: int
    failed: bool
    attributes: dict[str, Any]


def find(file: Path, trace_id: str, patience: float, until_service: str = "") -> list[Span]:
    """The spans of the trace, by start; waits up to `patience` seconds for those in flight."""
    deadline = time.monotonic() + patience
    spans, changed = read(file, trace_id), time.monotonic()
    while (now := time.monotonic()) < deadline:
        reached = any(span.service == until_service for span in spans) if until_service else bool(spans)
        if reached and now - changed > QUIET:
            break
        time.sleep(0.1)
        again = read(file, trace_id)
        if len(again) > len(spans):
            spans, changed = again, now
    return spans


def read(file: Path, trace_id: str) -> list[Span]:
    found: dict[str, Span] = {}
    needle = trace_id.encode()
    for path in (file.with_suffix(".1.jsonl"), file):
        if path.exists():
            with path.open("rb") as lines:
                for line in lines:
                    if needle in line:
                        found.update({span.span_id: span for span in _spans(json.loads(line), trace_id)})
    return sorted(found.values(), key=lambda span: span.start)


def _spans(message: dict[str, Any], trace_id: str) -> list[Span]:
    return [
        _span(span, group)
        for group in message["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
        if span["traceId"] == trace_id
    ]


def _span(span: dict[str, Any], group: dict[str, Any]) -> Span:
    resource = _attributes(group["resource"].get("attributes", []))
    return Span(
        span["spanId"],
        span.get("parentSpanId", ""),
        str(resource.get("service.name", "?")),
        span["name"],
        int(span["startTimeUnixNano"]),
        int(span["endTimeUnixNano"]),
        span.get("status", {}).get("code") == 2,
        _attributes(span.get("attributes", [])),
    )


def _attributes(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values()), None) for pair in pairs}


def tree(spans: list[Span]) -> Tree:
    """Spans whose parent was not collected stand at the top."""
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in known else ""].append(span)
    total = (max(span.end for span in spans) - spans[0].start) / 1e6
    services = len({span.service for span in spans})
    root = Tree(f"[bold]{len(spans)} spans of {services} services, {total:.1f} ms[/]")
    _grow(root, children, "", spans[0].start)
    return root


def _grow(branch: Tree, children: dict[str, list[Span]], parent: str, origin: int) -> None:
    for span in children[parent]:
        _grow(branch.add(_label(span, origin)), children, span.span_id, origin)


def _label(span: Span, origin: int) -> Text:
    offset, lasted = (span.start - origin) / 1e6, (span.end - span.start) / 1e6
    facts = " ".join(f"{key}={span.attributes[key]}" for key in NOTABLE if key in span.attributes)
    mark = "[red]✗[/]" if span.failed else "[green]✓[/]"
    times = f"[dim]+{offset:.1f} ms[/] {lasted:.1f} ms"
    return Text.from_markup(
        f"{mark} [cyan]{span.service}[/] {escape(span.name)} {times} [dim]{escape(facts)}[/]"
    )
