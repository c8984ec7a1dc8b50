"""Asks any route as any party, with a path and a body that name resources of that party."""

from typing import Any

import httpx

from common.ids import Kind
from tests.isolation.resources import BODIES, MAKERS, PREPARATIONS, never
from tests.isolation.routes import Route
from tests.isolation.targets import Party, Target

_ANY_STATE = {"If-Match": "*"}


class Calls:
    """Everything that can be asked at one target."""

    def __init__(self, target: Target, routes: list[Route]) -> None:
        self.target = target
        self._routes = routes
        self._pairs: dict[str, tuple[Party, Party]] = {}

    async def pair(self, service: str) -> tuple[Party, Party]:
        """Two tenants that the service knows; the first is the caller."""
        if service not in self._pairs:
            self._pairs[service] = (await self.target.join(service), await self.target.join(service))
        return self._pairs[service]

    async def make(self, service: str, party: Party, kind: Kind) -> str:
        """Id of a resource of the party's; a new one, where there can be several."""
        maker = MAKERS.get(kind)
        if maker is not None:
            return await maker(self.target, service, party)
        name, collection = self._collection_of(kind)
        answer = await self.ask(collection, party, await self.ids_of(collection, party))
        assert answer.is_success, f"{collection} as a way to a {kind.value}_…: {answer.text}"
        return str(answer.json()[name])

    async def ids_of(self, route: Route, party: Party) -> dict[str, str]:
        """Resources of the party for every parameter of the path."""
        ids: dict[str, str] = {}
        for name, kind in route.path_ids.items():
            assert kind is not None, f"{route} needs a recipe for {{{name}}}"
            ids[name] = await self.make(route.service, party, kind)
        return ids

    async def prepare(self, route: Route, party: Party, ids: dict[str, str]) -> None:
        """Make the route succeed for its owner."""
        preparation = PREPARATIONS.get(str(route))
        if preparation is not None:
            await preparation(self.target, party, ids)

    async def ask(
        self, route: Route, party: Party | None, ids: dict[str, str], **changes: Any
    ) -> httpx.Response:
        """The route with a body of the party's own; `changes`: to `headers`, `params` or `body`."""
        body = await self.body_of(route, party)
        if body is not None:
            body |= changes.get("body") or {}
        return await self.target.client(route.service).request(
            route.method,
            route.fill_path(ids),
            headers={**_ANY_STATE, **(party.headers if party else {}), **changes.get("headers", {})},
            params=changes.get("params"),
            json=body,
        )

    async def body_of(self, route: Route, party: Party | None) -> dict[str, Any] | None:
        """A body that names resources of the party's own, or None for a route without one."""
        own: dict[Kind, str] = {}
        if party is not None:
            own = {kind: await self.make(route.service, party, kind) for kind in route.body_ids.values()}
        body = route.fill_body(lambda kind: own.get(kind) or never(kind))
        if party is not None and body is not None and str(route) in BODIES:
            body |= await BODIES[str(route)](self.target, party)
        return body

    def kind_in(self, path: str) -> Kind:
        """The kind of resource that the collection at `path` holds."""
        for route in self._routes:
            collection, _, rest = route.path.partition(f"{path}/{{")
            name = rest.removesuffix("}")
            if not collection and route.path_ids.get(name) is not None:
                return route.path_ids[name]  # type: ignore[return-value]  # not None
        raise AssertionError(f"{path} holds no resources with a path of their own: it needs a recipe")

    async def look(self, route: Route, party: Party, ids: dict[str, str]) -> Any:
        """The party's view of what the route's path names, where it can be read at all."""
        readable = self._find("GET", route.path)
        if readable is None:
            return None
        answer = await self.ask(readable, party, ids)
        assert answer.is_success, answer.text
        return answer.json()

    def _find(self, method: str, path: str) -> Route | None:
        return next((route for route in self._routes if (route.method, route.path) == (method, path)), None)

    def _collection_of(self, kind: Kind) -> tuple[str, Route]:
        """The route that makes resources of the kind, and the field of its answer with the id."""
        for route in self._routes:
            for name, named in route.path_ids.items():
                collection = self._find("POST", route.path.partition(f"/{{{name}}}")[0])
                if named is kind and collection is not None:
                    return name, collection
        raise AssertionError(f"no recipe for a {kind.value}_…: add one to resources.py")


def nobodys(route: Route) -> dict[str, str]:
    """Ids for the route's path that never were anybody's."""
    return {name: never(kind) if kind else "nothing" for name, kind in route.path_ids.items()}


def bytes_of(answer: httpx.Response) -> tuple[int, str, str]:
    """An error as the caller sees it, without what differs between any two requests.

    Of the headers only the type counts: `RateLimit` goes down with each request of the caller's own tenant,
    so it differs between any two of them, and `test_rate_limit.py` holds that nobody else's show in it.
    """
    document = answer.json()
    text = answer.text.replace(document["trace_id"], "").replace(document["instance"], "")
    return answer.status_code, answer.headers["content-type"], text
