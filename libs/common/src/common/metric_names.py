"""Every metric of the platform: its name, unit (UCUM), labels, and what it says.

Those of OpenTelemetry's semantic conventions have their names, the others begin with `penguinmails.`. No
label names a tenant, a user or anything else that a caller chooses: labels are a few words each, known
beforehand (docs/adr/0025-metrics.md). Prometheus sees `a.b` in seconds as `a_b_seconds`, and counters with
`_total`.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `buckets`: upper bounds, of a histogram."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_SHORT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_DELAY_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_MESSAGING = ("messaging.system", "messaging.operation.name")

# Processes
PROCESS_UPTIME = Metric("process.uptime", "gauge", "s", "Since the process began; falls back at a restart")
EVENT_LOOP_DELAY = Metric(
    "penguinmails.event_loop.delay",
    "histogram",
    "s",
    "How late the event loop woke a timer, twice a second: what every request waits besides its own work",
    buckets=_SHORT_SECONDS,
)

# Requests: rate, errors and duration of each route
HTTP_SERVER_REQUEST_DURATION = Metric(
    "http.server.request.duration",
    "histogram",
    "s",
    "From the request's head to the end of the answer; no `http.route` where no route matched",
    ("http.request.method", "http.route", "http.response.status_code", "url.scheme", "error.type"),
    _REQUEST_SECONDS,
)
RATE_LIMIT_REFUSED = Metric(
    "penguinmails.rate_limit.refused",
    "counter",
    "{request}",
    "Answered 429, by what was counted: a tenant's, a session's or an operator's requests",
    ("app.counted_for",),
)
LOGINS_REFUSED = Metric(
    "penguinmails.logins.refused",
    "counter",
    "{attempt}",
    "Log-ins of users and operators: `failed` (no account fits), `throttled` (too early after failures)",
    ("app.reason",),
)

# Database
DB_CONNECTIONS = Metric(
    "db.client.connection.count",
    "gauge",
    "{connection}",
    "Connections of the pool that are `used` or `idle`",
    ("db.client.connection.pool.name", "db.client.connection.state"),
)
DB_CONNECTIONS_MAX = Metric(
    "db.client.connection.max",
    "gauge",
    "{connection}",
    "The most connections that the pool opens",
    ("db.client.connection.pool.name",),
)
DB_CONNECTION_WAIT = Metric(
    "db.client.connection.wait_time",
    "histogram",
    "s",
    "Until a connection was there, of those who found none idle (the others do not wait)",
    ("db.client.connection.pool.name",),
    _SHORT_SECONDS,
)
DB_CONNECTION_TIMEOUTS = Metric(
    "db.client.connection.timeouts",
    "counter",
    "{timeout}",
    "Who waited in vain for a connection",
    ("db.client.connection.pool.name",),
)

# Isolation
ENTRY_DENIALS = Metric(
    "penguinmails.entry.denials",
    "counter",
    "{denial}",
    "What the database refused: `refused` (membership, session or tenant has ended), `unknown` (the member "
    "did not become known in time), `wall` (a row of another tenant), `privilege` (no grant, or no proof)",
    ("app.reason",),
)
CROSS_TENANT_ATTEMPTS = Metric(
    "penguinmails.audit.cross_tenant_attempts",
    "counter",
    "{attempt}",
    "Attempts to reach another tenant that the audit service flagged",
    ("app.severity",),
)
ISOLATION_BREACHES = Metric(
    "penguinmails.audit.isolation_breaches",
    "counter",
    "{breach}",
    "Accesses to another tenant's resource that succeeded: must stay 0",
)

# Events: outbox and relay
OUTBOX_DEPTH = Metric(
    "penguinmails.outbox.depth",
    "gauge",
    "{event}",
    "Waiting to be published, up to 100 000 (more is not counted)",
)
OUTBOX_AGE = Metric("penguinmails.outbox.age", "gauge", "s", "How long the oldest of them has waited")
OUTBOX_PARKED = Metric(
    "penguinmails.outbox.parked", "gauge", "{event}", "Too large for the broker: an operator must see to them"
)
RELAY_ACTIVE = Metric(
    "penguinmails.relay.active", "gauge", "{relay}", "1 while this process publishes, 0 while it stands by"
)
RELAY_BATCHES = Metric(
    "penguinmails.relay.batches", "counter", "{batch}", "Rounds in which something was published"
)
RELAY_INTERRUPTIONS = Metric(
    "penguinmails.relay.interruptions",
    "counter",
    "{interruption}",
    "Terms ended by the database or the broker",
)
SENT_MESSAGES = Metric(
    "messaging.client.sent.messages",
    "counter",
    "{message}",
    "Events that the broker acknowledged",
    (*_MESSAGING, "messaging.destination.name"),
)

# Events: consumers and dead letters
CONSUMER_PARTITIONS = Metric(
    "penguinmails.consumer.partitions",
    "gauge",
    "{partition}",
    "Partitions this process reads",
    ("app.consumer",),
)
CONSUMER_LAG_EVENTS = Metric(
    "penguinmails.consumer.lag.events",
    "gauge",
    "{event}",
    "In its partitions, not handled",
    ("app.consumer",),
)
CONSUMER_LAG_TIME = Metric(
    "penguinmails.consumer.lag.time",
    "gauge",
    "s",
    "Since the oldest of them was published",
    ("app.consumer",),
)
CONSUMER_STOPPED = Metric(
    "penguinmails.consumer.stopped",
    "gauge",
    "{consumer}",
    "1 while too many dead letters stop it",
    ("app.consumer",),
)
PROCESS_DURATION = Metric(
    "messaging.process.duration",
    "histogram",
    "s",
    "One transaction of a consumer: one event, or several of one tenant",
    (*_MESSAGING, "messaging.consumer.group.name"),
    _REQUEST_SECONDS,
)
CONSUMED_MESSAGES = Metric(
    "messaging.client.consumed.messages",
    "counter",
    "{message}",
    "Events that are done with: handled, known, or dead",
    (*_MESSAGING, "messaging.consumer.group.name"),
)
EVENTS_BURIED = Metric(
    "penguinmails.events.buried", "counter", "{event}", "Events that became dead letters", ("app.consumer",)
)
DEAD_LETTERS = Metric(
    "penguinmails.dead_letters", "gauge", "{event}", "Dead letters that nobody has seen to", ("app.consumer",)
)
DEAD_LETTERS_WAITING = Metric(
    "penguinmails.dead_letters.waiting", "gauge", "{event}", "Events that wait behind them", ("app.consumer",)
)

# Sign-ups
SIGN_UPS_UNFINISHED = Metric(
    "penguinmails.provisioning.unfinished", "gauge", "{tenant}", "Sign-ups not finished"
)
SIGN_UPS_AGE = Metric("penguinmails.provisioning.age", "gauge", "s", "How long ago the oldest of them began")

# Leaving
DELETIONS_AGE = Metric(
    "penguinmails.deletion.age",
    "gauge",
    "s",
    "For how long the oldest unfinished deletion could have gone on; its waits that are meant are none",
)
EXPORTS_AGE = Metric(
    "penguinmails.export.age", "gauge", "s", "How long ago the oldest unfinished export began"
)

# Audit
AUDIT_RECORDED = Metric("penguinmails.audit.recorded", "counter", "{event}", "Events that reached the log")
AUDIT_DELAY = Metric(
    "penguinmails.audit.delay",
    "histogram",
    "s",
    "From what happened to its being in the log; of each batch, the event that waited longest",
    buckets=_DELAY_SECONDS,
)
AUDIT_QUARANTINED = Metric(
    "penguinmails.audit.quarantined", "counter", "{record}", "Records that could not become part of the log"
)
AUDIT_MISSING = Metric(
    "penguinmails.audit.missing",
    "gauge",
    "{event}",
    "Events whose numbers are missing from the log: must be 0",
)
READS_LOST = Metric(
    "penguinmails.access.reads_lost",
    "counter",
    "{read}",
    "Reads not recorded one by one, while the database was away; an `AccessGap` counts them",
)

METRICS = {metric.name: metric for metric in tuple(globals().values()) if isinstance(metric, Metric)}
"""All of them by name."""
