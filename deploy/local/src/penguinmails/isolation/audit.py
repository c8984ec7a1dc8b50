"""Families: what the audit logs of both tenants say of the attempts."""

import time
from typing import Any
from urllib.parse import urlencode

from penguinmails.isolation import leaks
from penguinmails.isolation.document import Json, Operation
from penguinmails.isolation.exchange import Answer, CannotCheck, Request
from penguinmails.isolation.party import Party
from penguinmails.isolation.world import Attempt, World

LOG = "/api/v1/audit/events"
FLAG = "cross_tenant_attempt"
WITHIN = 30.0
_PAUSE = 0.5


def run(world: World) -> None:
    """Wait until every attempt is in A's log and every target in B's, then judge what they say."""
    operation = next((each for each in world.reading if each.path == LOG), None)
    if operation is None:
        return
    deadline = time.monotonic() + WITHIN
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
        page: Any = answer.json
        if not answer.success:
            raise CannotCheck(f"tenant {party.label} cannot read its audit log: {answer.told()}")
        events += page["data"]
        cursor = page["next_cursor"] or ""
        if not cursor:
            return events


def _missing(world: World, mine: list[Json], theirs: list[Json]) -> int:
    shown = {event["trace_id"] for event in mine}
    suffered = {_target(event) for event in theirs}
    return sum(attempt.trace_id not in shown or attempt.target not in suffered for attempt in world.attempts)


def _target(event: Json) -> str:
    return (event.get("target") or {}).get("id") or ""


def _judge_own(world: World, events: list[Json]) -> None:
    by_trace = {event["trace_id"]: event for event in events}
    for attempt in world.attempts:
        event = by_trace.get(attempt.trace_id)
        reasons = _incomplete(event, world.attacker, attempt)
        answer = Answer(200, [], str(event), 0.0)
        world.note(
            "audit_own", attempt.operation.name, attempt.request, answer, f"naming {attempt.target}", reasons
        )


def _incomplete(event: Json | None, attacker: Party, attempt: Attempt) -> list[str]:
    if event is None:
        return [f"not in A's audit log with flag {FLAG} within {WITHIN:.0f} s"]
    told = {
        "actor": (event["actor"].get("id"), attacker.user_id),
        "target": (_target(event), attempt.target),
        "method": ((event.get("request") or {}).get("method"), attempt.request.method),
    }
    return [f"A's log says {name} {seen}, not {true}" for name, (seen, true) in told.items() if seen != true]


def _judge_victims(world: World, operation: Operation, events: list[Json]) -> None:
    """Every target is there, and nothing leads to A."""
    request = Request("GET", f"{LOG}?flag={FLAG}")
    traces = {attempt.trace_id for attempt in world.attempts if attempt.trace_id}
    for event in events:
        answer = Answer(200, [], str(event), 0.0)
        reasons = leaks.found(world.attacker, answer, request)
        if event.get("trace_id") in traces or world.attacker.wire.agent in answer.text:
            reasons.append("trace or user agent of tenant A")
        world.note("audit_victim", operation.name, request, answer, "an event of B's", reasons, who="B")
    suffered = {_target(event) for event in events}
    for target in sorted({attempt.target for attempt in world.attempts}):
        reasons = [] if target in suffered else [f"no event about {target} within {WITHIN:.0f} s"]
        answer = Answer(200, [], "", 0.0)
        world.note(
            "audit_victim", operation.name, request, answer, f"events about {target}", reasons, who="B"
        )
