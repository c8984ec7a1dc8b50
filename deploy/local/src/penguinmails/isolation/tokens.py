"""Family: every operation with forged tokens; all must be refused, and all alike.

One operation of each kind of resource gets every forgery; the others, behind the same door, the telling ones.
"""

from dataclasses import replace

from penguinmails.isolation import compare, forgeries
from penguinmails.isolation.document import Operation
from penguinmails.isolation.exchange import Answer, CannotCheck, Request
from penguinmails.isolation.world import World

JWKS = "/.well-known/jwks.json"
TELLING = {
    "no algorithm",
    "no algorithm, other tenant",
    "shared secret: the published key",
    "another key",
    "other tenant, old signature",
    "no token",
}


def run(world: World) -> None:
    every = _credentials(world)
    telling = {name: every[name] for name in TELLING}
    met: set[str] = set()
    for number, operation in enumerate(world.private, 1):
        world.progress(f"forged tokens: {number} of {len(world.private)} operations")
        _try_all(world, operation, telling if _door(operation) in met else every)
        met.add(_door(operation))


def _door(operation: Operation) -> str:
    """The beginning of the path that operations of one kind share: `/api/v1/campaigns`."""
    return "/".join(operation.path.split("/")[:4])


def _credentials(world: World) -> dict[str, str]:
    token = world.attacker.token
    jwks = world.attacker.ask(Request("GET", JWKS, credential=("", ""))).fields
    if not jwks.get("keys"):
        raise CannotCheck(f"{JWKS} holds no keys, so no token can be forged from them")
    forged = forgeries.without_the_key(token, jwks, world.victim.tenant_id)
    return {
        **{name: f"Bearer {text}" for name, text in forged.items()},
        "another scheme": f"Basic {token}",
        "no scheme": token,
        "no token": "Bearer",
    }


def _try_all(world: World, operation: Operation, credentials: dict[str, str]) -> None:
    body = world.own_body(operation, world.attacker)
    honest = world.request(operation, world.nobodys(operation), body)
    without = replace(honest, credential=("", ""))
    first = world.attempt("tokens", operation, without, "without a token", _unauthenticated)

    def like_the_first(answer: Answer) -> list[str]:
        return _unauthenticated(answer) or compare.differences(answer, first)

    for name, value in credentials.items():
        request = replace(honest, credential=(value, f"Bearer <{name}>"))
        world.attempt("tokens", operation, request, name, like_the_first)


def _unauthenticated(answer: Answer) -> list[str]:
    if answer.status != 401:
        return [f"status {answer.status} where 401 belongs"]
    return [] if answer.header("www-authenticate").startswith("Bearer") else ["401 without WWW-Authenticate"]
