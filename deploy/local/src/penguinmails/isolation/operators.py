"""Family: operations of the platform's operators, asked by a tenant's owner."""

from penguinmails.isolation.exchange import Answer
from penguinmails.isolation.world import World


def run(world: World) -> None:
    """About A itself, about B and about nobody: A's token is worth nothing there."""
    for operation in world.operations:
        if not operation.operators:
            continue
        body = world.own_body(operation, world.attacker)
        for party, what in ((world.attacker, "about A"), (world.victim, "about B")):
            ids = {**world.nobodys(operation), **_tenant(operation.path_ids, party.tenant_id)}
            request = world.request(operation, ids, body)
            world.attempt("operators", operation, request, what, _unknown, patient=False)


def _tenant(path_ids: dict[str, str | None], tenant_id: str) -> dict[str, str]:
    return {"tenant_id": tenant_id} if "tenant_id" in path_ids else {}


def _unknown(answer: Answer) -> list[str]:
    """The answer is the one to a token that is none."""
    return [] if answer.status == 401 else [f"status {answer.status} where 401 belongs"]
