"""Families: headers, paths and methods that two readers could understand in two ways."""

from collections.abc import Iterator

from penguinmails.isolation import forgeries, typeids
from penguinmails.isolation.document import Json, Operation
from penguinmails.isolation.exchange import Headers, Request
from penguinmails.isolation.world import ANY_STATE, World, harmless, refused

EMPTY: Json = {}
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


def headers(world: World) -> None:
    """Lies about who asks, on what is B's (refused) and on A's own lists (nothing of B's)."""
    for operation in world.reading:
        theirs = world.victim.path_ids(operation)
        if theirs is None:
            continue
        request = world.request(operation, theirs, None)
        for what, lie in _lies(world, operation, theirs).items():
            judge = refused if operation.kinds else harmless
            world.attempt("headers", operation, request.having(*lie), what, judge)


def _lies(world: World, operation: Operation, theirs: dict[str, str]) -> dict[str, Headers]:
    mine, victim = world.attacker.tenant_id, world.victim
    forged = f"Bearer {_unsigned(world)}"
    names = ("X-User-Id", "X-User-Email", "X-Forwarded-User", "X-Internal-User", "X-Authenticated-User")
    named = {name: ((name, victim.user_id),) for name in names}
    tenants = ("X-Internal-Tenant", "X-Internal-Tenant-Id", "X-User-Tenant", "X-Tenant", "Tenant-ID")
    named |= {name: ((name, victim.tenant_id),) for name in tenants}
    address = operation.fill(theirs)
    return {
        **named,
        "X-Tenant-ID of A and of B": (("X-Tenant-ID", mine), ("X-Tenant-ID", victim.tenant_id)),
        "X-Tenant-ID of B and of A": (("X-Tenant-ID", victim.tenant_id), ("X-Tenant-ID", mine)),
        "X-Tenant-ID with both": (("X-Tenant-ID", f"{mine},{victim.tenant_id}"),),
        "a second, forged Authorization": (("Authorization", forged),),
        "X-Forwarded-Authorization": (("X-Forwarded-Authorization", forged),),
        "X-Jwt-Payload": (("X-Jwt-Payload", forged.split(".")[1]),),
        "X-Forwarded-For": (("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")),
        "X-Forwarded-Host": (("X-Forwarded-Host", "internal"), ("Forwarded", "for=127.0.0.1;host=internal")),
        "X-Original-URL": (("X-Original-URL", address), ("X-Rewrite-URL", address)),
        "X-Forwarded-Prefix": (("X-Forwarded-Prefix", "/internal"),),
        "X-Envoy-Original-Path": (("X-Envoy-Original-Path", address), ("X-Envoy-Internal", "true")),
    }


def _unsigned(world: World) -> str:
    claims = {**forgeries.claims_of(world.attacker.token), "tenant_id": world.victim.tenant_id}
    claims["sub"] = world.victim.user_id
    return forgeries.unsigned(world.attacker.token, claims)


def paths(world: World) -> None:
    """Other spellings of the address of what is B's."""
    for operation in world.reading:
        mine, theirs = world.attacker.path_ids(operation), world.victim.path_ids(operation)
        if not theirs or not mine:
            continue
        for what, target in _spellings(operation, mine, theirs):
            world.attempt("paths", operation, Request("GET", target), what, refused)


def _spellings(
    operation: Operation, mine: dict[str, str], theirs: dict[str, str]
) -> Iterator[tuple[str, str]]:
    plain = operation.fill(theirs)
    name, foreign = next(iter(theirs.items()))
    head, _, tail = plain.partition(foreign)
    own = mine[name]
    yield "dot segment", f"{head}{own}/../{foreign}{tail}"
    yield "encoded dot segment", f"{head}{own}/%2e%2e/{foreign}{tail}"
    yield "encoded slashes", f"{head}{own}%2f..%2f{foreign}{tail}"
    yield "encoded slashes, upper case", f"{head}{own}%2F%2E%2E%2F{foreign}{tail}"
    yield "twice encoded", f"{head}{own}%252f..%252f{foreign}{tail}"
    yield "backslash", f"{head}{own}%5c..%5c{foreign}{tail}"
    yield "single dot", f"{head}./{foreign}{tail}"
    yield "empty segment", f"{head}/{foreign}{tail}"
    yield "empty first segment", f"/{plain}"
    yield "upper case", plain.upper()
    yield "upper case identifier", f"{head}{foreign.upper()}{tail}"
    yield "trailing slash", f"{plain}/"
    yield "path parameter", f"{head}{foreign};v=1{tail}"
    yield "path parameter with dots", f"{head}{own}/..;/{foreign}{tail}"
    yield "encoded letter", f"{head}%{ord(foreign[0]):02x}{foreign[1:]}{tail}"
    yield "NUL", f"{head}{foreign}%00{tail}"
    yield "encoded newline", f"{head}{foreign}%0a{tail}"
    yield "both identifiers", f"{head}{own},{foreign}{tail}"
    yield "behind a public path", f"/.well-known/..{plain}"
    yield "behind a public path, encoded", f"/.well-known/%2e%2e{plain}"
    yield "without its version", plain.replace("/api/v1", "", 1)
    yield "internal", plain.replace("/api/v1", "/internal", 1)
    yield "UUID", f"{head}{typeids.uuid_text(foreign)}{tail}"


def overrides(world: World) -> None:
    """A harmless method that calls itself another one."""
    for operation in world.private:
        theirs = world.victim.path_ids(operation)
        if not theirs or operation.method in ("GET", "POST"):
            continue
        for carrier in ("POST", "GET"):
            target, body = operation.fill(theirs), None if carrier == "GET" else EMPTY
            lie = tuple((name, operation.method) for name in OVERRIDES)
            request = Request(carrier, target, (ANY_STATE, *lie), body).asking(("_method", operation.method))
            world.attempt("overrides", operation, request, f"{carrier} as {operation.method}", refused)
