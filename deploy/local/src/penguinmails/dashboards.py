"""What Grafana's dashboards show; `penguinmails dashboards` makes deploy/observability/grafana of it.

A query names metrics as Prometheus knows them; a test holds that the running stack has them all.
"""

import json
from pathlib import Path

from penguinmails.grafana import Panel, dashboard

FOLDER = Path("deploy/observability/grafana/dashboards")

_HTTP = "http_server_request_duration_seconds"
_MINE = 'job=~"$service"'
_RANGE = "[$__rate_interval]"


def _rate(metric: str, by: str, labels: str = _MINE) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}{_RANGE}))"


def _quantile(share: float, metric: str, by: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', f'{by}, le')})"


def _most(metric: str, by: str) -> str:
    return f"max by ({by}) ({metric}{{{_MINE}}})"


def _zero(title: str, query: str) -> Panel:
    return Panel(title, "short", ((query, ""),), width=6, must_be_zero=True)


def _over_an_hour(metric: str, labels: str = "") -> str:
    return f"sum(increase({metric}{labels}[1h]))"


_ROUTE = "job, http_request_method, http_route"
_NAMED = "{{http_request_method}} {{http_route}}"
_ERRORS = f'{_MINE}, http_response_status_code=~"5.."'

_EDGE = "sum by (envoy_response_code_class) (rate(envoy_{}_rq_xx_total[$__rate_interval]))"

REQUESTS = (
    Panel("Requests", "reqps", ((_rate(f"{_HTTP}_count", "job"), "{{job}}"),)),
    Panel(
        "Share of 5xx",
        "percentunit",
        ((f"{_rate(f'{_HTTP}_count', 'job', _ERRORS)} / {_rate(f'{_HTTP}_count', 'job')}", "{{job}}"),),
    ),
    Panel(
        "Duration",
        "s",
        tuple((_quantile(share, _HTTP, "job"), f"p{share * 100:.0f} {{{{job}}}}") for share in (0.5, 0.99)),
    ),
    Panel("Slowest routes, p99", "s", ((f"topk(10, {_quantile(0.99, _HTTP, _ROUTE)})", _NAMED),)),
    Panel("Routes", "reqps", ((f"topk(20, {_rate(f'{_HTTP}_count', _ROUTE)})", _NAMED),)),
    Panel(
        "Answers by status",
        "reqps",
        ((_rate(f"{_HTTP}_count", "http_response_status_code"), "{{http_response_status_code}}"),),
    ),
    Panel(
        "Refused by rate limits",
        "reqps",
        (
            (
                _rate("penguinmails_rate_limit_refused_total", "job, app_counted_for"),
                "{{job}} {{app_counted_for}}",
            ),
        ),
    ),
    Panel(
        "Database connections",
        "short",
        (
            (
                _most("db_client_connection_count", "job, db_client_connection_state"),
                "{{job}} {{db_client_connection_state}}",
            ),
            (_most("db_client_connection_max", "job"), "{{job}} at most"),
        ),
    ),
    Panel(
        "Waiting for a connection, p99",
        "s",
        ((_quantile(0.99, "db_client_connection_wait_time_seconds", "job"), "{{job}}"),),
    ),
    Panel(
        "Waited in vain for a connection",
        "short",
        ((_rate("db_client_connection_timeouts_total", "job"), "{{job}}"),),
    ),
    Panel(
        "Event loop comes late, p99",
        "s",
        (
            (
                _quantile(0.99, "penguinmails_event_loop_delay_seconds", "job, instance"),
                "{{job}} {{instance}}",
            ),
        ),
    ),
    Panel(
        "Gateway: answers",
        "reqps",
        ((_EDGE.format("http_downstream"), "{{envoy_response_code_class}}xx"),),
    ),
    Panel(
        "Gateway: answers without a service",
        "reqps",
        (
            (
                f"clamp_min({_EDGE.format('http_downstream')} - {_EDGE.format('cluster_upstream')}, 0)",
                "{{envoy_response_code_class}}xx",
            ),
        ),
    ),
    Panel(
        "Gateway: instances it can use",
        "short",
        (
            ("min by (envoy_cluster_name) (envoy_cluster_membership_healthy)", "{{envoy_cluster_name}}"),
            ("max by (envoy_cluster_name) (envoy_cluster_membership_total)", "{{envoy_cluster_name}} in all"),
        ),
    ),
    Panel(
        "Gateway: tokens",
        "reqps",
        (
            ("sum(rate(envoy_http_jwt_authn_allowed_total[$__rate_interval]))", "let through"),
            ("sum(rate(envoy_http_jwt_authn_denied_total[$__rate_interval]))", "refused"),
        ),
    ),
    Panel("Up since", "s", ((f"process_uptime_seconds{{{_MINE}}}", "{{job}} {{instance}}"),)),
)

ISOLATION = (
    _zero("Breaches, last hour", _over_an_hour("penguinmails_audit_isolation_breaches_total")),
    _zero(
        "Refused by the database alone, last hour",
        _over_an_hour("penguinmails_entry_denials_total", '{app_reason=~"wall|privilege"}'),
    ),
    _zero("Events missing from the audit log", "max(penguinmails_audit_missing)"),
    _zero("Reads not recorded one by one, last hour", _over_an_hour("penguinmails_access_reads_lost_total")),
    Panel(
        "Attempts to reach another tenant",
        "ops",
        ((_rate("penguinmails_audit_cross_tenant_attempts_total", "app_severity"), "{{app_severity}}"),),
    ),
    Panel(
        "Entries the database refused",
        "ops",
        ((_rate("penguinmails_entry_denials_total", "job, app_reason"), "{{job}} {{app_reason}}"),),
    ),
    Panel(
        "401, 403 and 404",
        "reqps",
        (
            (
                _rate(
                    f"{_HTTP}_count",
                    "job, http_response_status_code",
                    f'{_MINE}, http_response_status_code=~"401|403|404"',
                ),
                "{{job}} {{http_response_status_code}}",
            ),
        ),
    ),
    Panel(
        "Log-ins refused",
        "ops",
        ((_rate("penguinmails_logins_refused_total", "app_reason"), "{{app_reason}}"),),
    ),
)

EVENTS = (
    Panel("Outbox: waiting", "short", ((_most("penguinmails_outbox_depth", "job"), "{{job}}"),)),
    Panel("Outbox: age of the oldest", "s", ((_most("penguinmails_outbox_age_seconds", "job"), "{{job}}"),)),
    Panel(
        "Published",
        "ops",
        (
            (
                _rate("messaging_client_sent_messages_total", "job, messaging_destination_name"),
                "{{job}} {{messaging_destination_name}}",
            ),
        ),
    ),
    Panel(
        "Relays",
        "short",
        (
            (_most("penguinmails_relay_active", "job"), "{{job}} active"),
            (_rate("penguinmails_relay_interruptions_total", "job"), "{{job}} interruptions a second"),
        ),
    ),
    Panel(
        "Events in a batch",
        "short",
        (
            (
                f"{_rate('messaging_client_sent_messages_total', 'job')} / "
                f"{_rate('penguinmails_relay_batches_total', 'job')}",
                "{{job}}",
            ),
        ),
    ),
    Panel(
        "Parked: too large for the broker",
        "short",
        ((_most("penguinmails_outbox_parked", "job"), "{{job}}"),),
    ),
    Panel(
        "Consumers: behind by time",
        "s",
        ((_most("penguinmails_consumer_lag_time_seconds", "app_consumer"), "{{app_consumer}}"),),
    ),
    Panel(
        "Consumers: behind by events",
        "short",
        ((f"sum by (app_consumer) (penguinmails_consumer_lag_events{{{_MINE}}})", "{{app_consumer}}"),),
    ),
    Panel(
        "Done with",
        "ops",
        (
            (
                _rate("messaging_client_consumed_messages_total", "messaging_consumer_group_name"),
                "{{messaging_consumer_group_name}}",
            ),
        ),
    ),
    Panel(
        "One transaction of a consumer, p99",
        "s",
        (
            (
                _quantile(0.99, "messaging_process_duration_seconds", "messaging_consumer_group_name"),
                "{{messaging_consumer_group_name}}",
            ),
        ),
    ),
    Panel(
        "Partitions read",
        "short",
        (
            (f"sum by (app_consumer) (penguinmails_consumer_partitions{{{_MINE}}})", "{{app_consumer}}"),
            (_most("penguinmails_consumer_stopped", "app_consumer"), "{{app_consumer}} stopped"),
        ),
    ),
    Panel(
        "Dead letters",
        "short",
        (
            (_most("penguinmails_dead_letters", "app_consumer"), "{{app_consumer}} dead"),
            (
                _most("penguinmails_dead_letters_waiting", "app_consumer"),
                "{{app_consumer}} waiting behind them",
            ),
            (
                f"60 * {_rate('penguinmails_events_buried_total', 'app_consumer')}",
                "{{app_consumer}} a minute",
            ),
        ),
    ),
)

_SIGN_UP = 'http_request_method="POST", http_route="/api/v1/tenants"'
SAGA = (
    Panel("Unfinished sign-ups", "short", (("max(penguinmails_provisioning_unfinished)", "unfinished"),)),
    Panel("Age of the oldest", "s", (("max(penguinmails_provisioning_age_seconds)", "oldest"),)),
    Panel(
        "Oldest unfinished on the way out",
        "s",
        (
            ("max(penguinmails_deletion_age_seconds)", "deletion"),
            ("max(penguinmails_export_age_seconds)", "export"),
        ),
    ),
    Panel(
        "Sign-ups by answer",
        "reqps",
        ((_rate(f"{_HTTP}_count", "http_response_status_code", _SIGN_UP), "{{http_response_status_code}}"),),
    ),
    Panel(
        "Duration of sign-ups",
        "s",
        tuple(
            (
                f"histogram_quantile({share}, {_rate(f'{_HTTP}_bucket', 'le', _SIGN_UP)})",
                f"p{share * 100:.0f}",
            )
            for share in (0.5, 0.99)
        ),
    ),
)

AUDIT = (
    Panel("Recorded", "ops", (("sum(rate(penguinmails_audit_recorded_total[$__rate_interval]))", "events"),)),
    Panel(
        "From what happened to the log",
        "s",
        tuple(
            (
                f"histogram_quantile({share}, sum by (le) "
                f"(rate(penguinmails_audit_delay_seconds_bucket{_RANGE})))",
                f"p{share * 100:.0f}",
            )
            for share in (0.5, 0.99)
        ),
    ),
    Panel("Missing from the log", "short", (("max(penguinmails_audit_missing)", "events"),)),
    Panel(
        "In quarantine",
        "short",
        ((_over_an_hour("penguinmails_audit_quarantined_total"), "records, last hour"),),
    ),
    Panel(
        "Audit consumer behind",
        "s",
        (('max(penguinmails_consumer_lag_time_seconds{app_consumer="audit-ingest"})', "seconds"),),
    ),
    Panel(
        "Reads not recorded one by one",
        "short",
        (("sum by (job) (increase(penguinmails_access_reads_lost_total[1h]))", "{{job}}, last hour"),),
    ),
)

DASHBOARDS: dict[str, tuple[str, tuple[Panel, ...]]] = {
    "requests": ("Requests and processes", REQUESTS),
    "isolation": ("Isolation of tenants", ISOLATION),
    "events": ("Events", EVENTS),
    "saga": ("Sign-ups", SAGA),
    "audit": ("Audit log", AUDIT),
}


def pages() -> dict[Path, str]:
    """Each dashboard's file, by its path in the repository."""
    return {
        FOLDER / f"{name}.json": json.dumps(dashboard(name, title, panels), indent=1, ensure_ascii=False)
        + "\n"
        for name, (title, panels) in DASHBOARDS.items()
    }


def queries() -> list[str]:
    """Every query of every panel."""
    return [query for _, panels in DASHBOARDS.values() for panel in panels for query, _ in panel.queries]
