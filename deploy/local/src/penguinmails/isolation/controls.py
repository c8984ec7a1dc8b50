"""Families: what the owners can do. Without it, refusals would prove nothing."""

import json
import time
from typing import Any, cast

from penguinmails.isolation.document import Json, Operation
from penguinmails.isolation.exchange import Answer
from penguinmails.isolation.named_tenant import SPENDING
from penguinmails.isolation.world import World

Snapshot = dict[str, tuple[int, Any]]
SETTLED_WITHIN = 20.0
_PAUSE = 0.3
_OWN_ACTS = ("last_used_at", "last_seen_at", "refreshed_at", "expires_at")


def settled_snapshot(world: World) -> Snapshot:
    """What B sees of its own, as soon as it stays the same (projections follow a moment later)."""
    deadline = time.monotonic() + SETTLED_WITHIN
    before = _snapshot(world)
    while True:
        time.sleep(_PAUSE)
        after = _snapshot(world)
        if after == before or time.monotonic() > deadline:
            return after
        before = after


def _snapshot(world: World) -> Snapshot:
    return {operation.name: _seen(_look(world, operation)) for operation in _lasting(world)}


def _lasting(world: World) -> list[Operation]:
    """The audit log grows by being attacked, so it is no measure."""
    return [
        operation
        for operation in world.reading
        if not operation.audit_log and world.victim.path_ids(operation) is not None
    ]


def _look(world: World, operation: Operation) -> Answer:
    request = world.own_request(operation, world.victim)
    assert request is not None
    return world.victim.ask(request)


def _seen(answer: Answer) -> tuple[int, Any]:
    return answer.status, _steady(answer.json)


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        kept = cast("Json", value).items()
        return {name: _steady(inner) for name, inner in kept if name not in _OWN_ACTS}
    return [_steady(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value


def unchanged(world: World, before: Snapshot) -> None:
    """B reads everything it has, and finds it as it was."""
    for operation in _lasting(world):
        answer = _look(world, operation)
        request = world.own_request(operation, world.victim)
        assert request is not None
        reasons = [] if answer.success else [f"its owner is answered {answer.status}"]
        was = before[operation.name]
        if _seen(answer) != was:
            reasons.append(f"it was {json.dumps(was[1])[:400]}")
        world.note("unchanged", operation.name, request, answer, "as B, after the attacks", reasons, who="B")


def replays_own_keys(world: World) -> None:
    """B's own keys are remembered: that A got no replay was not for want of one."""
    for operation in world.private:
        key = world.keys.get(operation.name)
        request = world.own_request(operation, world.victim)
        if key is None or request is None:
            continue
        answer = world.victim.ask(request.having(("Idempotency-Key", key)))
        remembered = answer.header("idempotent-replayed") or answer.problem == "idempotency_key_reused"
        reasons = [] if remembered else ["B's own key is not remembered"]
        world.note("controls", operation.name, request, answer, "B's own key again", reasons, who="B")


def act_as_owner(world: World) -> None:
    """A does to its own what it could not do to B's; deletions come with the clean-up."""
    for operation in world.private:
        if operation.method in ("PATCH", "PUT") or _is_action(operation):
            request = world.own_request(operation, world.attacker)
            if request is not None:
                answer = world.control("controls", world.attacker, operation, request)
                world.attacker.learn(answer.text, world.not_of(world.attacker))


def _is_action(operation: Operation) -> bool:
    spared = operation.collection or operation.deletes_tenant or operation.name in SPENDING
    return operation.method == "POST" and not spared
