"""Family: identifiers of B where A's own belong. Foreign must look like never existing."""

from penguinmails.isolation import bodies, typeids
from penguinmails.isolation.document import METHODS, Json, Operation
from penguinmails.isolation.exchange import Request
from penguinmails.isolation.world import ANY_STATE, World

FORBIDDEN, UNKNOWN = (403,), (404,)
CARRYING = ("POST", "PUT", "PATCH")
EMPTY: Json = {}


def in_paths(world: World) -> None:
    """Every documented operation, each parameter alone and all at once."""
    for operation in world.open_to_tenants:
        own, theirs = world.attacker.path_ids(operation), world.victim.path_ids(operation)
        if not operation.kinds:
            continue
        if own is None or theirs is None:
            world.untried(operation, "identifiers in its path")
            continue
        for name in theirs:
            _ask_in_path(world, operation, own, name, theirs[name])
        if len(theirs) > 1:
            last = list(theirs)[-1]
            _ask_in_path(world, operation, theirs, last, theirs[last])


def _ask_in_path(world: World, operation: Operation, ids: dict[str, str], name: str, foreign: str) -> None:
    body = world.own_body(operation, world.attacker)

    def ask(value: str) -> Request:
        return world.request(operation, {**ids, name: value}, body)

    tenants = {ids[other] for other, kind in operation.path_ids.items() if kind == typeids.TENANT} - {
        ids[name]
    }
    names_tenant = operation.path_ids[name] == typeids.TENANT or tenants - {world.attacker.tenant_id}
    wanted = FORBIDDEN if names_tenant else UNKNOWN
    world.pair("foreign_path", operation, ask, foreign, f"{{{name}}} of B", wanted)


def with_other_methods(world: World) -> None:
    """Methods that the document does not have for the path."""
    by_path: dict[str, list[Operation]] = {}
    for operation in world.private:
        by_path.setdefault(operation.path, []).append(operation)
    for operations in by_path.values():
        known = {operation.method for operation in operations}
        for method in (each.upper() for each in METHODS):
            if method not in known:
                _ask_with_method(world, operations[0], method)


def _ask_with_method(world: World, operation: Operation, method: str) -> None:
    theirs = world.victim.path_ids(operation)
    if not theirs:
        return
    name, foreign = list(theirs.items())[-1]

    def ask(value: str) -> Request:
        target = operation.fill({**theirs, name: value})
        return Request(method, target, (ANY_STATE,), EMPTY if method in CARRYING else None)

    world.pair("foreign_path", operation, ask, foreign, f"{method} with {{{name}}} of B")


def in_bodies(world: World) -> None:
    """Every field of every body that names a resource."""
    for operation in world.open_to_tenants:
        ids, body = world.attacker.path_ids(operation), _body_with_all_ids(world, operation)
        named = list(bodies.places(body)) if ids is not None else []
        for place, kind in named:
            foreign = world.victim.first(kind)
            if foreign is not None and ids is not None:
                _ask_in_body(world, operation, ids, body, place, foreign)
        tried = {kind for _, kind in named if world.victim.first(kind)}
        for kind in sorted(bodies.kinds(operation.body or {}) - tried):
            world.untried(operation, f"a {kind}_… in its body")


def _body_with_all_ids(world: World, operation: Operation) -> object:
    """What the schema's recipe leaves out, the example may have: login's tenant, for one."""
    if operation.public:
        return bodies.from_example(operation, world.attacker)
    return world.own_body(operation, world.attacker)


def _ask_in_body(
    world: World, operation: Operation, ids: dict[str, str], body: object, place: bodies.Place, foreign: str
) -> None:
    def ask(value: str) -> Request:
        changed = bodies.replaced(body, place, value)
        request = world.request(operation, ids, changed)
        return (
            request
            if not operation.public
            else Request(request.method, request.target, (), changed, ("", ""))
        )

    pointer = "/" + "/".join(map(str, place))
    world.pair(
        "foreign_body", operation, ask, foreign, f"{pointer} of B", () if operation.public else UNKNOWN
    )


def in_queries(world: World) -> None:
    """Every parameter of the query that takes an identifier."""
    for operation in world.private:
        request = world.own_request(operation, world.attacker)
        for name, schema in operation.query.items():
            kind = typeids.kind_of(schema)
            foreign = world.victim.first(kind) if kind else None
            if request is not None and foreign is not None:
                _ask_in_query(world, operation, request, name, foreign)
            elif kind:
                world.untried(operation, f"?{name}=")


def _ask_in_query(world: World, operation: Operation, request: Request, name: str, foreign: str) -> None:
    def ask(value: str) -> Request:
        return request.asking((name, value))

    world.pair("foreign_query", operation, ask, foreign, f"?{name}= of B", UNKNOWN)
