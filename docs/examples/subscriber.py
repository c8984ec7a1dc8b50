"""A subscriber of PenguinMails: keeps a list of all campaigns, whatever is delivered twice or late.

    pip install confluent-kafka opentelemetry-api
    python subscriber.py 127.0.0.1:9092 my-campaign-list campaigns.db

Started again, it goes on where it stopped; several with one group share the work.
"""

import json
import logging
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message
from opentelemetry import propagate, trace

log = logging.getLogger("subscriber")
tracer = trace.get_tracer("subscriber")

TOPIC = "penguinmails.campaigns"

TABLES = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS events (event_id TEXT PRIMARY KEY, type TEXT, subject TEXT, trace_id TEXT);
CREATE TABLE IF NOT EXISTS refused (place TEXT PRIMARY KEY, reason TEXT, value BLOB);
CREATE TABLE IF NOT EXISTS campaigns (
    campaign_id TEXT PRIMARY KEY, tenant_id TEXT, name TEXT, version INTEGER, deleted INTEGER DEFAULT 0
);
"""


class Refused(ValueError):
    """A record that is no event, and will not become one however often it is read."""


@dataclass(frozen=True)
class Event:
    id: str
    type: str
    subject: str
    tenant_id: str
    headers: dict[str, str]
    data: dict[str, Any]


def read(message: Message) -> Event:
    """The envelope is in the headers, the payload in the value."""
    try:
        headers = {name: value.decode() for name, value in message.headers() or []}
        return Event(
            id=headers["ce_id"],
            type=headers["ce_type"],
            subject=headers["ce_subject"],
            tenant_id=headers["ce_tenantid"],
            headers=headers,
            data=json.loads(message.value()),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Refused(str(error)) from error


def put_campaign(store: sqlite3.Connection, event: Event) -> None:
    """An older version never overwrites a newer one: order is promised, but a replay may start anywhere."""
    store.execute(
        "INSERT INTO campaigns (campaign_id, tenant_id, name, version) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (campaign_id) DO UPDATE SET name = excluded.name, version = excluded.version "
        "WHERE version < excluded.version",
        (event.subject, event.tenant_id, event.data["name"], event.data["version"]),
    )


def note_version(store: sqlite3.Connection, event: Event) -> None:
    version = event.data["version"]
    store.execute(
        "UPDATE campaigns SET version = ? WHERE campaign_id = ? AND version < ?",
        (version, event.subject, version),
    )


def delete_campaign(store: sqlite3.Connection, event: Event) -> None:
    """The row stays as a tombstone, so that an old event cannot bring the campaign back."""
    note_version(store, event)
    store.execute("UPDATE campaigns SET deleted = 1 WHERE campaign_id = ?", (event.subject,))


HANDLERS: dict[str, Callable[[sqlite3.Connection, Event], None]] = {
    "penguinmails.CampaignCreated.v1": put_campaign,
    "penguinmails.CampaignUpdated.v1": note_version,
    "penguinmails.CampaignDeleted.v1": delete_campaign,
}


def handle(store: sqlite3.Connection, event: Event) -> bool:
    """Effect and proof of it in one transaction; False when there was nothing to do."""
    handler = HANDLERS.get(event.type)
    if handler is None:
        return False  # a type we do not need, or one that came after us
    parent = propagate.extract(event.headers)
    with tracer.start_as_current_span(f"process {event.type}", context=parent) as span, store:
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        noted = store.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (event.id, event.type, event.subject, trace_id),
        )
        if noted.rowcount == 0:
            log.info("seen before: %s", event.id)
            return False
        handler(store, event)
        log.info("%s of %s, trace %s", event.type, event.subject, trace_id)
        return True


def take(store: sqlite3.Connection, message: Message) -> None:
    """Handle one record; what is no event is laid aside, for people to look at, and stops nobody."""
    try:
        handle(store, read(message))
    except (Refused, KeyError) as error:  # KeyError: the payload lacks a field of its contract
        place = f"{message.topic()} {message.partition()} {message.offset()}"
        log.error("refused %s: %s", place, error)
        with store:
            row = (place, str(error), message.value())
            store.execute("INSERT INTO refused VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row)


def run(bootstrap: str, group: str, store: sqlite3.Connection) -> None:
    """Until SIGTERM or Ctrl-C. Any other failure ends the process: its successor reads the record again."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,  # what was not handled is not committed
            "session.timeout.ms": 10_000,  # so soon another member takes over from one that died
        }
    )
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    consumer.subscribe([TOPIC])
    try:
        while not stopped:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            take(store, message)
            consumer.store_offsets(message)
    finally:
        consumer.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    bootstrap_servers, group_id, path = sys.argv[1:]
    database = sqlite3.connect(path)
    database.executescript(TABLES)
    run(bootstrap_servers, group_id, database)
