"""Every route of the five services, from their applications and OpenAPI documents, and requests for it."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from fastapi.routing import APIRoute

from common import clock
from common.ids import Kind
from common.web.platform import PlatformRoute
from common.web.routes import TenantRoute
from tests.isolation.services import SERVICES, idle_kernel, service_of

Json = dict[str, Any]
IdOf = Callable[[Kind], str]

_KINDS = {kind.value: kind for kind in Kind}
_ID_PATTERN = re.compile(r"\^([a-z]+)_")
PREFIX = "/api/v1"


@dataclass(frozen=True)
class Route:
    """One operation for tenants' users, or for operators.

    `path_ids`: what each parameter of the path names (None: no identifier). `body`: the resolved schema of
    the JSON body, or None. `query`: the names of all query parameters.
    """

    service: str
    method: str
    path: str
    path_ids: dict[str, Kind | None]
    query_ids: dict[str, Kind]
    query: tuple[str, ...]
    body: Json | None

    def __str__(self) -> str:
        return f"{self.method} {self.path.removeprefix(PREFIX)}"

    @property
    def body_ids(self) -> dict[str, Kind]:
        """Where the body names a resource, at any depth: `contact_ids`, `workspaces/workspace_id`."""
        return ids_below(self.body)

    def name_in_body(self, place: str, identifier: str) -> Json:
        """The field of the body with `identifier` at the place."""
        field, *steps = place.split("/")
        return {field: _naming((self.body or {})["properties"][field], steps, identifier)}

    def fill_path(self, ids: dict[str, str]) -> str:
        return self.path.format(**ids)

    def fill_body(self, id_of: IdOf) -> Json | None:
        """A body with all that must be there; when nothing must, with the first field."""
        if self.body is None:
            return None
        properties: Json = self.body.get("properties", {})
        names = self.body.get("required") or list(properties)[:1]
        return {name: example(properties[name], id_of) for name in names}


def discover(kind: type[APIRoute]) -> list[Route]:
    """All operations of a class of routes.

    Raises:
        LookupError: a route that its service's OpenAPI document leaves out.
    """
    return [route for name in SERVICES for route in _routes_of(name, kind)]


def _routes_of(name: str, kind: type[APIRoute]) -> Iterator[Route]:
    service = service_of(name)
    app = service.create_app(idle_kernel(service))
    document = app.openapi()
    for route in all_routes(app):
        if not isinstance(route, kind):
            continue
        for method in sorted(route.methods):
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is None:
                raise LookupError(f"{method} {route.path_format} is not in the OpenAPI document of {name}")
            yield _read(name, method, route, operation, document)


def all_routes(app: FastAPI) -> Iterator[APIRoute]:
    """Every route of the application, of whatever class."""
    return _walk(app.routes)


def _walk(routes: Iterable[Any]) -> Iterator[APIRoute]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _walk(included.routes)
        elif isinstance(route, APIRoute):
            yield route


def _read(service: str, method: str, route: APIRoute, operation: Json, document: Json) -> Route:
    parameters = operation.get("parameters", [])
    kinds = {(item["in"], item["name"]): kind_of(item["schema"]) for item in parameters}
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return Route(
        service=service,
        method=method,
        path=route.path_format,
        path_ids={name: kind for (place, name), kind in kinds.items() if place == "path"},
        query_ids={name: kind for (place, name), kind in kinds.items() if place == "query" and kind},
        query=tuple(name for place, name in kinds if place == "query"),
        body=resolve(schema, document) if schema is not None else None,
    )


def resolve(schema: Any, document: Json) -> Any:
    """The schema without references."""
    if isinstance(schema, list):
        return [resolve(item, document) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        found: Any = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return resolve(found, document)
    return {name: resolve(item, document) for name, item in schema.items()}


def _choices(schema: Json) -> list[Json]:
    return [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]


def kind_of(schema: Json) -> Kind | None:
    """The kind of identifier a schema takes, alone or in an array."""
    for choice in _choices(schema):
        single = choice.get("items", choice)
        found = _ID_PATTERN.match(single.get("pattern", ""))
        if found is not None and found[1] in _KINDS:
            return _KINDS[found[1]]
    return None


def ids_below(schema: Any, path: str = "") -> dict[str, Kind]:
    """Where below a schema an identifier stands, at any depth."""
    if not isinstance(schema, dict):
        return {}
    kind = kind_of(schema)
    if kind is not None:
        return {path: kind}
    found: dict[str, Kind] = {}
    for name, inner in schema.get("properties", {}).items():
        found |= ids_below(inner, f"{path}/{name}".removeprefix("/"))
    for inner in (schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())):
        found |= ids_below(inner, path)
    return found


def _naming(schema: Json, steps: list[str], identifier: str) -> Any:
    choice = _choices(schema)[0]
    if choice.get("type") == "array":
        return [_naming(choice["items"], steps, identifier)]
    if not steps:
        return identifier
    fields = {
        name: example(choice["properties"][name], lambda _: identifier) for name in choice.get("required", ())
    }
    return {**fields, steps[0]: _naming(choice["properties"][steps[0]], steps[1:], identifier)}


def example(schema: Json, id_of: IdOf) -> Any:
    """A value the schema takes; texts differ each time, so that nothing is taken already."""
    kind = kind_of(schema)
    choice = _choices(schema)[0]
    if kind is not None:
        return [id_of(kind)] if choice.get("type") == "array" else id_of(kind)
    if "properties" in choice:
        return {name: example(choice["properties"][name], id_of) for name in choice.get("required", ())}
    declared = schema.get("examples", choice.get("examples"))
    if "enum" in choice or "const" in choice:
        return choice.get("const", (declared or choice.get("enum", [None]))[0])
    return _plain_example(choice, declared)


def _plain_example(choice: Json, examples: list[Any] | None) -> Any:
    kind = choice.get("format")
    if kind in ("email", "hostname"):
        return f"{uuid4().hex}{'@' if kind == 'email' else '.'}example.com"
    if kind == "date-time":
        return clock.rfc3339(clock.now())
    text = f"{examples[0] if examples else 'Text'} {uuid4().hex[:8]}"
    if choice.get("type") == "string" and kind is None and re.search(choice.get("pattern", ""), text):
        return text
    if examples:
        return examples[0]
    return {"array": [], "object": {}, "boolean": True, "integer": choice.get("minimum", 1)}[choice["type"]]


ROUTES = discover(TenantRoute)
PLATFORM_ROUTES = discover(PlatformRoute)
