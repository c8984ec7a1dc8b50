"""`docs/asyncapi.yaml`: AsyncAPI 3.0, one channel per topic and one message per event."""

import inspect
import json
from typing import Any

import yaml
from pydantic import TypeAdapter

from common.contracts.envelope import PARTITIONS, TOPICS, TYPE_PREFIX, Event, Topic, registry
from common.ids import TenantId
from penguinmails.event_reference.samples import golden
from penguinmails.event_reference.schemas import headers_schema, payload_schemas

Json = dict[str, Any]

_HEAD = "# Made from libs/common/src/common/contracts by `make docs`; do not edit.\n"
_BINDING_VERSION = "0.5.0"
_DEAD_LETTER = "DeadLetter"
_DESCRIPTION = """\
Facts about tenants, users, workspaces and campaigns, as CloudEvents 1.0 in Kafka's binary mode: the
envelope is in headers, the value is JSON. Delivery is at least once, in order per `ce_subject`. How to
subscribe is told in events.md."""


def render() -> str:
    """The document as YAML."""
    plain = json.loads(json.dumps(document()))  # no object twice, else YAML would refer to the first
    return _HEAD + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)


def document() -> Json:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "PenguinMails events",
            "version": "1.0.0",
            "description": _DESCRIPTION,
            "contact": {"name": "PenguinMails", "url": "https://penguinmails.dev"},
            "tags": [{"name": name} for name in sorted({event.RESOURCE for event in registry().values()})],
        },
        "defaultContentType": "application/json",
        "servers": {"installation": _server()},
        "channels": {name: channel for topic in TOPICS for name, channel in _channels(topic).items()},
        "operations": {name: one for topic in TOPICS for name, one in _operations(topic).items()},
        "components": _components(),
    }


def short(topic: Topic) -> str:
    """A topic's name without what all have in common."""
    return topic.removeprefix(f"{TYPE_PREFIX}.")


def events_of(topic: Topic) -> list[type[Event]]:
    """By type, in the order of their names."""
    return [event for _, event in sorted(registry().items()) if topic == event.TOPIC]


def summary(event: type[Event]) -> str:
    """The first sentence of what the contract says of the event, else its audit action."""
    documented = inspect.cleandoc(event.__dict__.get("__doc__") or "").partition("\n\n")[0]
    return documented.replace("\n", " ") or f"{event.RESOURCE}: {event.ACTION}"


def _server() -> Json:
    return {
        "host": "{bootstrap}",
        "protocol": "kafka",
        "description": "One installation, local or production",
        "variables": {
            "bootstrap": {
                "default": "127.0.0.1:9092",
                "description": "A broker's address; `penguinmails env --json` prints the local one",
            }
        },
    }


def _message_key(event: type[Event]) -> str:
    return event.ce_type().removeprefix(f"{TYPE_PREFIX}.")


def _reference(*path: str) -> Json:
    return {"$ref": "/".join(["#", *path])}


def _channels(topic: Topic) -> dict[str, Json]:
    keys = [_message_key(event) for event in events_of(topic)]
    return {
        short(topic): _channel(topic, f"Events about {short(topic)}; the key is the tenant", keys),
        f"{short(topic)}DeadLetters": _channel(
            f"{topic}.dlq", f"What a consumer of PenguinMails could not handle of `{topic}`", [_DEAD_LETTER]
        ),
    }


def _channel(address: str, description: str, keys: list[str]) -> Json:
    return {
        "address": address,
        "description": description,
        "messages": {key: _reference("components", "messages", key) for key in keys},
        "bindings": {
            "kafka": {"topic": address, "partitions": PARTITIONS, "bindingVersion": _BINDING_VERSION}
        },
    }


def _operations(topic: Topic) -> dict[str, Json]:
    name = short(topic)
    dead = f"{name}DeadLetters"
    return {
        f"send{name.title()}": _operation("send", name, f"Tell what happened on `{topic}`"),
        f"receive{name.title()}": _operation("receive", name, f"Learn what happened on `{topic}`"),
        f"send{name.title()}DeadLetters": _operation(
            "send", dead, "Lay an event aside after failed attempts"
        ),
    }


def _operation(action: str, channel: str, text: str) -> Json:
    return {"action": action, "channel": _reference("channels", channel), "summary": text}


def _components() -> Json:
    payloads, definitions = payload_schemas()
    messages = {_message_key(cls): _message(cls, payloads[name]) for name, cls in sorted(registry().items())}
    return {
        "messages": {**messages, _DEAD_LETTER: _dead_letter()},
        "messageTraits": {"event": _trait()},
        "correlationIds": {
            "trace": {
                "description": "The trace goes on from the request through the event to your handler",
                "location": "$message.header#/traceparent",
            }
        },
        "schemas": {"EventHeaders": headers_schema(), **definitions},
    }


def _message(event: type[Event], payload: Json) -> Json:
    example = golden(event)
    fixed = {"type": "object", "properties": {"ce_type": {"const": event.ce_type()}}}
    return {
        "name": event.ce_type(),
        "title": event.__name__,
        "summary": summary(event),
        "tags": [{"name": event.RESOURCE}],
        "traits": [_reference("components", "messageTraits", "event")],
        "headers": {"allOf": [_reference("components", "schemas", "EventHeaders"), fixed]},
        "payload": payload,
        "examples": [{"name": event.__name__, "headers": example["headers"], "payload": example["payload"]}],
        "x-subject": event.SUBJECT,
        "x-audit-action": event.ACTION,
    }


def _dead_letter() -> Json:
    return {
        "name": _DEAD_LETTER,
        "title": "Dead letter",
        "summary": "The event's id, type, subject and payload; the source is the service that gave up.",
        "traits": [_reference("components", "messageTraits", "event")],
        "headers": _reference("components", "schemas", "EventHeaders"),
        "payload": {"description": "As it was, whether or not it keeps the contract of its type"},
    }


def _trait() -> Json:
    key = {**TypeAdapter(TenantId).json_schema(), "description": "The tenant"}
    return {
        "contentType": "application/json",
        "correlationId": _reference("components", "correlationIds", "trace"),
        "bindings": {"kafka": {"key": key, "bindingVersion": _BINDING_VERSION}},
    }
