"""Family: A names tenant B beside its own token."""

from dataclasses import replace

from penguinmails.isolation import typeids
from penguinmails.isolation.document import Operation
from penguinmails.isolation.exchange import Request
from penguinmails.isolation.world import World, harmless, refused

SPENDING = ("logOut", "logOutEverywhere")
"""Were they to succeed, A would have no token left: they come last."""


def run(world: World, last: bool = False) -> None:
    """In header, query and body of every operation, on paths where nothing can be destroyed."""
    for operation in world.private:
        if (operation.name in SPENDING) is last:
            _name_everywhere(world, operation)


def _name_everywhere(world: World, operation: Operation) -> None:
    mine, theirs = world.attacker.tenant_id, world.victim.tenant_id
    body = world.own_body(operation, world.attacker)
    honest = world.request(operation, world.nobodys(operation), body)

    def in_header(value: str) -> Request:
        return honest.having(("X-Tenant-ID", value))

    def in_query(value: str) -> Request:
        return honest.asking(("tenant_id", value))

    def beside_mine(value: str) -> Request:
        return honest.asking(("tenant_id", mine), ("tenant_id", value))

    def in_body(value: str) -> Request:
        return replace(honest, body={**(body or {}), "tenant_id": value})

    ways = {"header X-Tenant-ID": in_header, "?tenant_id=": in_query, "second ?tenant_id=": beside_mine}
    if body is not None:
        ways["body /tenant_id"] = in_body
    for what, ask in ways.items():
        world.pair("named_tenant", operation, ask, theirs, what, (403,))


def in_public_bodies(world: World) -> None:
    """Operations without a token take no tenant from a field they do not have."""
    for operation in world.operations:
        body = world.own_body(operation, world.attacker) if operation.public else None
        if body is None or operation.name == "createTenant":
            continue
        spoken = {**body, "email": world.victim.owner_email} if "email" in body else body
        claimed = {**spoken, "tenant_id": world.victim.tenant_id}
        for what, content in (("as B's owner", spoken), ("with B's tenant_id", claimed)):
            request = Request(operation.method, operation.path, (), content, ("", ""))
            world.attempt("public", operation, request, what, refused, patient=False)


def public_reads(world: World) -> None:
    """What everybody may read shows nothing of anybody."""
    for operation in world.operations:
        if operation.public and operation.method == "GET":
            ids = {name: typeids.never(kind or "none") for name, kind in operation.path_ids.items()}
            request = Request("GET", operation.fill(ids), (), None, ("", ""))
            world.attempt("public", operation, request, "read", harmless)
            world.report.accounts[operation.name].succeeded = True
