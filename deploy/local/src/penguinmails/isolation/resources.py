"""Makes one of every resource (two, so that lists have a second page), recipes read from the document."""

import time
from dataclasses import replace
from uuid import uuid4

from penguinmails.isolation import bodies
from penguinmails.isolation.document import Operation
from penguinmails.isolation.exchange import Request
from penguinmails.isolation.party import Party
from penguinmails.isolation.world import World

KEY = "idempotency-key"
_PAUSE = 0.2


def make_all(world: World) -> None:
    """Both tenants get everything; what cannot be made is said in the account of its operation."""
    for party in (world.victim, world.attacker):
        for _ in range(2):
            _make_one_of_each(world, party)
        look_around(world, party, "set_up")


def _make_one_of_each(world: World, party: Party) -> None:
    made_here = [each for each in world.private if each.collection or each.starts_job]
    waiting = [each for each in made_here if not each.deletes_tenant]
    while waiting:
        ready = [each for each in waiting if _has_what_it_names(each, party)] or waiting[:1]
        for operation in ready:
            _make(world, party, operation)
        waiting = [each for each in waiting if each not in ready]


def _has_what_it_names(operation: Operation, party: Party) -> bool:
    named = {kind for _, kind in bodies.places(operation.example or {})} | set(operation.kinds)
    return all(party.first(kind) for kind in named)


def _make(world: World, party: Party, operation: Operation) -> None:
    ids = party.path_ids(operation)
    if ids is None:
        world.report.accounts[operation.name].reason = "nothing to name in its path could be made"
        return
    if operation.starts_job and party.first("job"):
        return  # one at a time, and one will do
    key = str(uuid4())
    headers = (("Idempotency-Key", key),) if KEY in operation.headers else ()
    request = world.request(operation, ids, world.own_body(operation, party)).having(*headers)
    answer = world.control("set_up", party, operation, request)
    if answer.status == 422:
        request = replace(request, body=bodies.from_example(operation, party))
        answer = world.control("set_up", party, operation, request)
    if not answer.success:
        return
    party.learn(answer.text, world.not_of(party))
    if party is world.victim and headers:
        world.keys[operation.name] = key
    if operation.starts_job:
        _await_end(party, Request("GET", answer.header("location")))


def _await_end(party: Party, look: Request) -> None:
    """Wait until a job is over, so that it stays as it is while others try to reach it."""
    while party.ask(look).fields.get("status") in ("queued", "running"):
        time.sleep(_PAUSE)


def look_around(world: World, party: Party, family: str) -> None:
    """Learn the identifiers that nobody made on purpose: sessions, events."""
    for operation in world.reading:
        request = world.own_request(operation, party)
        if request is not None:
            answer = world.control(family, party, operation, request)
            if answer.success:
                party.learn(answer.text, world.not_of(party))
