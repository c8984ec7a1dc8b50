"""Families: what the audit logs of both tenants say of the attempts."""

import time
from urllib.parse import urlencode

from penguinmails.isolation import leaks
from penguinmails.isolation.document import Json, Operation
from penguinmails.isolation.exchange import Answer, CannotCheck, Request
from penguinmails.isolation.party import Party
from penguinmails.isolation.world import Attempt, World

LOG = "/api/v1/audit/events"
FLAG = "cross_tenant_attempt"
_PAUSE = 0.5


def run(world: World, within: float) -> None:
    """Wait up to `within` seconds until every attempt is in A's log and every target in B's, then judge what
    they say."""
    operation = next((each for each in world.reading if each.path == LOG), None)
    if operation is None:
        return
    deadline = time.monotonic() + within
    while True:
        mine, theirs = _flagged(world, world.attacker), _flagged(world, world.victim)
        missing = _missing(world, mine, theirs)
        world.progress(f"audit logs: {missing} attempts are still on their way")
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
    _judge_own(world, mine)
    _judge_victims(world, operation, theirs)


def _flagged(world: World, party: Party) -> list[Json]:
    """All flagged events of the party's, newest first."""
    events: list[Json] = []
    cursor = ""
    while True:
        query = {"flag": FLAG, "limit": "100", **({"cursor": cursor} if cursor else {})}
        answer = party.ask(Request("GET", f"{LOG}?{urlencode(query)}"))
        page = answer.fields
        if not answer.success:
            raise CannotCheck(f"tenant {party.label} cannot read its audit log: {answer.told()}")
        events += page.get("data", [])
        cursor = page.get("next_cursor") or ""
        if not cursor:
            return events


def _missing(world: World, mine: list[Json], theirs: list[Json]) -> int:
    shown = {event.get("trace_id") for event in mine}
    late = sum(attempt.trace_id not in shown for attempt in world.attempts)
    return late + len(_unknown_to_victim(world, theirs)) + max(0, len(world.attempts) - len(theirs))


def _unknown_to_victim(world: World, events: list[Json]) -> list[Attempt]:
    """Attempts at resources of B's that B's log has no event about."""
    suffered = {_target(event) for event in events}
    return [each for each in world.attempts if not each.explicit and not each.targets & suffered]


def _target(event: Json) -> str:
    target: Json = event.get("target") or {}
    return str(target.get("id") or "")


def _judge_own(world: World, events: list[Json]) -> None:
    by_trace = {event.get("trace_id"): event for event in events}
    for attempt in world.attempts:
        event = by_trace.get(attempt.trace_id)
        reasons = _incomplete(event, world.attacker, attempt)
        answer = Answer(200, [], str(event), 0.0)
        world.note("audit_own", attempt.operation.name, attempt.request, answer, "its event", reasons)


def _incomplete(event: Json | None, attacker: Party, attempt: Attempt) -> list[str]:
    if event is None:
        return [f"not in A's audit log with flag {FLAG} in time"]
    actor: Json = event.get("actor") or {}
    request: Json = event.get("request") or {}
    told: dict[str, tuple[object, frozenset[str]]] = {
        "actor": (actor.get("id"), frozenset({attacker.user_id})),
        "method": (request.get("method"), frozenset({attempt.request.method})),
    }
    if not attempt.explicit:
        told["target"] = (_target(event), attempt.targets)
    return [f"A's log names {what} {seen}" for what, (seen, true) in told.items() if seen not in true]


def _judge_victims(world: World, operation: Operation, events: list[Json]) -> None:
    """Every attempt is there, and nothing leads to A."""
    request = Request("GET", f"{LOG}?flag={FLAG}")
    traces = {attempt.trace_id for attempt in world.attempts if attempt.trace_id}
    for event in events:
        answer = Answer(200, [], str(event), 0.0)
        reasons = leaks.found(world.attacker, answer, request)
        if event.get("trace_id") in traces or world.attacker.wire.agent in answer.text:
            reasons.append("trace or user agent of tenant A")
        world.note("audit_victim", operation.name, request, answer, "an event of B's", reasons, who="B")
    total = Answer(200, [], f"{len(events)} events with flag {FLAG}", 0.0)
    lacking = max(0, len(world.attempts) - len(events))
    reasons = [f"{lacking} of {len(world.attempts)} attempts are not in B's log"] if lacking else []
    world.note("audit_victim", operation.name, request, total, "one event for each attempt", reasons, who="B")
    for attempt in _unknown_to_victim(world, events):
        reasons = [f"no event about {' or '.join(sorted(attempt.targets))} in time"]
        world.note("audit_victim", attempt.operation.name, attempt.request, total, "its event", reasons)
