"""Every route of the five services, from their applications and OpenAPI documents, and requests for it."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from fastapi.routing import APIRoute

from common.ids import Kind
from common.web.routes import TenantRoute
from tests.isolation.services import SERVICES, idle_kernel, service_of

Json = dict[str, Any]
IdOf = Callable[[Kind], str]

_KINDS = {kind.value: kind for kind in Kind}
_ID_PATTERN = re.compile(r"\^([a-z]+)_")
PREFIX = "/api/v1"


@dataclass(frozen=True)
class Route:
    """One operation for tenants' users.

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
        """Fields of the body that name a resource."""
        found: dict[str, Kind] = {}
        for name, schema in (self.body or {}).get("properties", {}).items():
            kind = _kind_of(schema)
            if kind is not None:
                found[name] = kind
        return found

    def fill_path(self, ids: dict[str, str]) -> str:
        return self.path.format(**ids)

    def fill_body(self, id_of: IdOf) -> Json | None:
        """A body with all that must be there; when nothing must, with the first field."""
        if self.body is None:
            return None
        properties: Json = self.body.get("properties", {})
        names = self.body.get("required") or list(properties)[:1]
        return {name: _example(properties[name], id_of) for name in names}


def discover() -> list[Route]:
    """All operations of tenants' users.

    Raises:
        LookupError: a route that its service's OpenAPI document leaves out.
    """
    return [route for name in SERVICES for route in _routes_of(name)]


def _routes_of(name: str) -> Iterator[Route]:
    service = service_of(name)
    app = service.create_app(idle_kernel(service))
    document = app.openapi()
    for route in _walk(app.routes):
        if not isinstance(route, TenantRoute):
            continue
        for method in sorted(route.methods):
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is None:
                raise LookupError(f"{method} {route.path_format} is not in the OpenAPI document of {name}")
            yield _read(name, method, route, operation, document)


def _walk(routes: Iterable[Any]) -> Iterator[APIRoute]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _walk(included.routes)
        elif isinstance(route, APIRoute):
            yield route


def _read(service: str, method: str, route: TenantRoute, operation: Json, document: Json) -> Route:
    parameters = operation.get("parameters", [])
    kinds = {(item["in"], item["name"]): _kind_of(item["schema"]) for item in parameters}
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return Route(
        service=service,
        method=method,
        path=route.path_format,
        path_ids={name: kind for (place, name), kind in kinds.items() if place == "path"},
        query_ids={name: kind for (place, name), kind in kinds.items() if place == "query" and kind},
        query=tuple(name for place, name in kinds if place == "query"),
        body=_resolve(schema, document) if schema is not None else None,
    )


def _resolve(schema: Any, document: Json) -> Any:
    """The schema without references."""
    if isinstance(schema, list):
        return [_resolve(item, document) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _resolve(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    return {name: _resolve(item, document) for name, item in schema.items()}


def _choices(schema: Json) -> list[Json]:
    return [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]


def _kind_of(schema: Json) -> Kind | None:
    """The kind of identifier a schema takes, alone or in an array."""
    for choice in _choices(schema):
        single = choice.get("items", choice)
        found = _ID_PATTERN.match(single.get("pattern", ""))
        if found is not None and found[1] in _KINDS:
            return _KINDS[found[1]]
    return None


def _example(schema: Json, id_of: IdOf) -> Any:
    """A value the schema takes; texts differ each time, so that nothing is taken already."""
    kind = _kind_of(schema)
    choice = _choices(schema)[0]
    if kind is not None:
        return [id_of(kind)] if choice.get("type") == "array" else id_of(kind)
    if choice.get("format") in ("email", "hostname"):
        return f"{uuid4().hex}{'@' if choice['format'] == 'email' else '.'}example.com"
    if "enum" in choice or "const" in choice:
        return choice.get("const", choice.get("enum", [None])[0])
    examples = schema.get("examples", choice.get("examples"))
    if choice.get("type") == "string" and "pattern" not in choice and "format" not in choice:
        text = examples[0] if examples else "Text"
        return f"{text} {uuid4().hex[:8]}"
    if examples:
        return examples[0]
    return {"array": [], "object": {}, "boolean": True, "integer": choice.get("minimum", 1)}[choice["type"]]


ROUTES = discover()
