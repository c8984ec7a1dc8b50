"""Dashboards in Grafana's JSON: panels from left to right, row by row."""

from dataclasses import dataclass
from typing import Any

_COLUMNS, _HEIGHT = 24, 8
_SOURCE = {"type": "prometheus", "uid": "prometheus"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: PromQL with the legend of each query. `must_be_zero`: a number, red as soon as it is not."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    width: int = 12
    must_be_zero: bool = False


def dashboard(name: str, title: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """The dashboard as Grafana's provisioning reads it."""
    return {
        "uid": f"penguinmails-{name}",
        "title": f"PenguinMails: {title}",
        "tags": ["penguinmails"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_service_variable()]},
        "panels": _placed(panels),
    }


def _service_variable() -> dict[str, Any]:
    return {
        "name": "service",
        "label": "Service",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(process_uptime_seconds, job)", "refId": "service"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """From left to right, row by row."""
    made: list[dict[str, Any]] = []
    x = y = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _COLUMNS:
            x, y = 0, y + _HEIGHT
        made.append(_panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}))
        x += panel.width
    return made


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.must_be_zero:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": 0.001}]
        defaults |= {"thresholds": {"mode": "absolute", "steps": steps}}
    return {
        "id": number,
        "title": panel.title,
        "type": "stat" if panel.must_be_zero else "timeseries",
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for i, (query, legend) in enumerate(panel.queries)
        ],
    }
