"""Families: A searches for what is B's, and uses B's cursors and idempotency keys."""

from uuid import uuid4

from penguinmails.isolation import bodies, typeids
from penguinmails.isolation.document import Json, Operation
from penguinmails.isolation.exchange import Answer, Request
from penguinmails.isolation.resources import KEY
from penguinmails.isolation.world import World, harmless

REPLAYED = "idempotent-replayed"


def search(world: World) -> None:
    """Every list, and every filter that takes text, for B's names, addresses and identifiers."""
    wanted = [world.victim.bait, world.victim.owner_email]
    wanted += [values[0] for values in world.victim.ids.values() if values]
    for operation in world.reading:
        request = world.own_request(operation, world.attacker)
        if request is None:
            continue
        world.attempt("search", operation, request, "as it is", harmless)
        for name, schema in operation.query.items():
            for word in (word for word in wanted if _takes(name, schema, word)):
                world.attempt("search", operation, request.asking((name, word)), f"?{name}=", harmless)


def _takes(name: str, schema: Json, word: str) -> bool:
    plain = schema.get("type") == "string" and not schema.keys() & {"enum", "format"}
    return plain and name != "cursor" and typeids.kind_of(schema) is None and bodies.accepts(schema, word)


def cursors(world: World) -> None:
    """Where B has a second page, A asks for it."""
    for operation in world.reading:
        theirs = world.own_request(operation, world.victim)
        mine = world.own_request(operation, world.attacker)
        if "cursor" not in operation.query or theirs is None or mine is None:
            continue
        cursor = world.victim.ask(theirs.asking(("limit", "1"))).fields.get("next_cursor")
        if cursor:
            for more in ((), (("limit", "1"),), (("limit", "100"),)):
                request = mine.asking(("cursor", cursor), *more)
                world.attempt("cursors", operation, request, "a cursor of B's", harmless)


def idempotency_keys(world: World) -> None:
    """A key of B's is to A like any other. B's own replay shows that the key is remembered at all."""
    for operation in world.private:
        key = world.keys.get(operation.name)
        if key is not None and KEY in operation.headers:
            _replay(world, operation, key)


def _replay(world: World, operation: Operation, key: str) -> None:
    fresh = _own_answer(world, operation, str(uuid4()))

    def as_if_new(answer: Answer) -> list[str]:
        reasons = [f"status {answer.status} where a fresh key has {fresh}"] if answer.status != fresh else []
        return reasons + (["answered as a replay"] if answer.header(REPLAYED) else [])

    request = _with_key(world, operation, key)
    if request is not None:
        answer = world.attempt("idempotency", operation, request, "a key of B's", as_if_new)
        world.attacker.learn(answer.text, world.not_of(world.attacker))


def _own_answer(world: World, operation: Operation, key: str) -> int:
    request = _with_key(world, operation, key)
    if request is None:
        return 0
    answer = world.attempt("idempotency", operation, request, "a fresh key", harmless)
    world.attacker.learn(answer.text, world.not_of(world.attacker))
    return answer.status


def _with_key(world: World, operation: Operation, key: str) -> Request | None:
    request = world.own_request(operation, world.attacker)
    return request.having(("Idempotency-Key", key)) if request else None
