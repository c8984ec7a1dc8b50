"""The span tree of one trace, out of the files the collector writes."""

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text
from rich.tree import Tree

from penguinmails.terminal import escape

QUIET = 0.8
"""Spans come in batches: a trace is complete when none has arrived for so long."""

_MOST = 5
_BY_ITSELF = re.compile(r" GET (/health/|/\.well-known/jwks)")
"""What the platform asks of itself all the time, and nobody looks for."""

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


class NoSuchTrace(Exception):
    """Not one trace is meant by what was given. `others`: those that may be, each with its first span."""

    def __init__(self, message: str, others: list[str]) -> None:
        super().__init__(message)
        self.others = others


def find_one(file: Path, prefix: str, patience: float = 2.0) -> list[Span]:
    """The spans of the one trace whose id begins so.

    Raises:
        NoSuchTrace: there is none, there are several, or it is no id.
    """
    if not re.fullmatch(r"[0-9a-f]{4,32}", prefix):
        raise NoSuchTrace(f"{prefix} is no trace id: 32 hex digits, or the first four of them and more", [])
    deadline = time.monotonic() + patience
    while not (beginning := _traces(file, prefix)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if len(beginning) == 1:
        return find(file, next(iter(beginning)), patience)
    if beginning:
        raise NoSuchTrace(f"{len(beginning)} traces begin with {prefix}:", list(beginning.values())[:_MOST])
    newest = [told for told in _traces(file, "").values() if not _BY_ITSELF.search(told)][-_MOST:]
    raise NoSuchTrace(f"No spans of trace {prefix}." + (" The newest traces:" if newest else ""), newest)


def _traces(file: Path, prefix: str) -> dict[str, str]:
    """By id, in the order they came: the traces that begin so, and how each is told to people."""
    found: dict[str, Span] = {}
    needle = f'"traceId":"{prefix}'.encode()
    for line in _lines(file, needle):
        for span, group in _every_span(json.loads(line)):
            trace_id: str = span["traceId"]
            earlier = found.get(trace_id)
            if trace_id.startswith(prefix) and (
                earlier is None or int(span["startTimeUnixNano"]) < earlier.start
            ):
                found[trace_id] = _span(span, group)
    return {trace_id: f"{trace_id} {span.service} {span.name}" for trace_id, span in found.items()}


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
    for line in _lines(file, trace_id.encode()):
        own = (_span(*pair) for pair in _every_span(json.loads(line)) if pair[0]["traceId"] == trace_id)
        found.update({span.span_id: span for span in own})
    return sorted(found.values(), key=lambda span: span.start)


def _lines(file: Path, needle: bytes) -> Iterator[bytes]:
    """Lines of both files in which it stands."""
    for path in (file.with_suffix(".1.jsonl"), file):
        if path.exists():
            with path.open("rb") as lines:
                yield from (line for line in lines if needle in line)


def _every_span(message: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each span with the group it stands in, which names its service."""
    for group in message["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                yield span, group


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
