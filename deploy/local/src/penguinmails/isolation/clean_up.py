"""Removes what was made, as its owner, by whatever the document offers; says what remains."""

from penguinmails.isolation import resources
from penguinmails.isolation.document import Operation
from penguinmails.isolation.exchange import CannotCheck, Request
from penguinmails.isolation.named_tenant import SPENDING
from penguinmails.isolation.party import Party
from penguinmails.isolation.world import World

_ROUNDS = 3
_LAST = ("ws", "user", "sess", "tenant")


def run(world: World) -> None:
    """Both tenants, as far as they came into being."""
    for party in (world.attacker, world.victim):
        if party.token:
            _clean(world, party)


def _clean(world: World, party: Party) -> None:
    try:
        resources.look_around(world, party, "clean_up")
        _delete_all(world, party)
        erased = _delete_tenant(world, party)
        _log_out(world, party)
    except CannotCheck as problem:
        world.report.remains.append(f"tenant {party.label} {party.tenant_id}, not cleaned up: {problem}")
        return
    if not erased:
        world.report.remains.append(
            f"tenant {party.label} {party.tenant_id} with its owner {party.user_id} and its audit log: the "
            "installation offers no deletion of tenants"
        )


def _delete_all(world: World, party: Party) -> None:
    """What others name goes after them; what is in use still is tried again."""
    deleting = [each for each in world.private if each.method == "DELETE" and each.kinds]
    deleting.sort(key=_order)
    for _ in range(_ROUNDS):
        gone = [_delete(world, party, operation) for operation in deleting]
        if not any(gone):
            break
    _say_what_remains(world, party, deleting)


def _order(operation: Operation) -> tuple[bool, int]:
    """First what stands inside something else, last what everything stands in."""
    kind = operation.kinds[-1]
    return len(operation.kinds) == 1, _LAST.index(kind) + 1 if kind in _LAST else 0


def _delete(world: World, party: Party, operation: Operation) -> bool:
    """Whether anything went; the session in use goes last, by logging out."""
    kind = operation.kinds[-1]
    own = party.path_ids(operation)
    if own is None or kind == "sess":
        return False
    name = list(operation.path_ids)[-1]
    gone = False
    for value in list(party.ids[kind]):
        answer = world.control(
            "clean_up", party, operation, world.request(operation, {**own, name: value}, None)
        )
        if answer.success and len(operation.kinds) == 1:
            party.ids[kind].remove(value)
            gone = True
    return gone


def _say_what_remains(world: World, party: Party, deleting: list[Operation]) -> None:
    own = {operation.kinds[0] for operation in deleting if len(operation.kinds) == 1} - set(_LAST[1:])
    left = [value for kind in sorted(own) for value in party.ids.get(kind, ())]
    if left:
        world.report.remains.append(f"tenant {party.label}: {', '.join(left)}")


def _delete_tenant(world: World, party: Party) -> bool:
    operation = next((each for each in world.private if each.deletes_tenant), None)
    if operation is None:
        return False
    body = world.own_body(operation, party)
    if body is not None and "company_name" in body:
        tenant = Request("GET", operation.fill({"tenant_id": party.tenant_id}).rpartition("/")[0])
        body["company_name"] = party.ask(tenant).fields.get("company_name", party.company_name)
    request = world.request(operation, {"tenant_id": party.tenant_id}, body)
    answer = world.control("clean_up", party, operation, request)
    if answer.success:
        world.report.remains.append(f"tenant {party.label} {party.tenant_id}: its deletion is asked for")
    return answer.success


def _log_out(world: World, party: Party) -> None:
    """By ending the session where that is offered, else all sessions."""
    ending = [each for each in world.private if each.method == "DELETE" and each.kinds == ["sess"]]
    leaving = [each for each in world.private if each.name in SPENDING]
    if party is world.attacker and ending and (own := party.path_ids(ending[0])):
        world.control("clean_up", party, ending[0], world.request(ending[0], own, None))
    elif leaving:
        world.control("clean_up", party, leaving[-1], Request("POST", leaving[-1].path))
