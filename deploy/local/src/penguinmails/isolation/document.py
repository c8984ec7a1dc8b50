"""The operations of an installation, from the OpenAPI document it serves."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from penguinmails.isolation import typeids

Json = dict[str, Any]
METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
_SHALLOW = 12


@dataclass(frozen=True)
class Operation:
    """`path_ids`: parameters of the path and the kind they take (None: no identifier).

    `operators`: it takes a token of another kind than tenants have.
    """

    name: str
    method: str
    path: str
    public: bool = False
    operators: bool = False
    path_ids: dict[str, str | None] = field(default_factory=dict[str, str | None])
    query: dict[str, Json] = field(default_factory=dict[str, Json])
    headers: frozenset[str] = frozenset()
    body: Json | None = None
    example: Json | None = None
    collection: bool = False
    starts_job: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def kinds(self) -> list[str]:
        """Kinds of identifiers that the path takes."""
        return [kind for kind in self.path_ids.values() if kind is not None]

    @property
    def audit_log(self) -> bool:
        """What a tenant did itself stands here, with the identifiers it named."""
        return "/audit/" in self.path

    @property
    def deletes_tenant(self) -> bool:
        return self.method == "POST" and self.path.endswith("/{tenant_id}/deletion")

    def fill(self, ids: dict[str, str]) -> str:
        path = self.path
        for name, value in ids.items():
            path = path.replace(f"{{{name}}}", value)
        return path


def read(document: Json) -> list[Operation]:
    """Every operation, in the order of the document.

    Raises:
        ValueError: the document holds no operations.
    """
    found = [
        _operation(method, path, item, document)
        for path, item in document.get("paths", {}).items()
        for method in item
        if method in METHODS
    ]
    if not found:
        raise ValueError("it names no operations")
    return found


def _operation(method: str, path: str, item: Json, document: Json) -> Operation:
    described: Json = item[method]
    parameters = [
        resolve(parameter, document)
        for parameter in [*item.get("parameters", []), *described.get("parameters", [])]
    ]
    content = resolve(described.get("requestBody", {}), document).get("content", {})
    body: Json = content.get("application/json", {})
    schemes = _schemes(document.get("security", []))
    wanted = _schemes(described["security"]) if "security" in described else schemes
    return Operation(
        name=described.get("operationId", f"{method} {path}"),
        method=method.upper(),
        path=path,
        public=not wanted,
        operators=bool(wanted and schemes) and not wanted & schemes,
        path_ids={p["name"]: typeids.kind_of(p["schema"]) for p in _placed(parameters, "path")},
        query={p["name"]: p["schema"] for p in _placed(parameters, "query")},
        headers=frozenset(p["name"].lower() for p in _placed(parameters, "header")),
        body=resolve(body["schema"], document) if "schema" in body else None,
        example=body.get("example"),
        collection=method == "post" and "get" in item,
        starts_job=method == "post" and _tells_of_job(described.get("responses", {}).get("202", {})),
    )


def _tells_of_job(accepted: Json) -> bool:
    """What goes on by itself and can be looked at; not what is merely done later."""
    return "Location" in accepted.get("headers", {})


def _schemes(security: list[Json]) -> set[str]:
    return {scheme for choice in security for scheme in choice}


def _placed(parameters: list[Json], place: str) -> Iterator[Json]:
    return (parameter for parameter in parameters if parameter.get("in") == place)


def resolve(schema: Any, document: Json, depth: int = 0) -> Any:
    """The schema without references; what nests too deep, being recursive, takes anything."""
    if depth > _SHALLOW:
        return {}
    if isinstance(schema, list):
        return [resolve(item, document, depth) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    described = cast("Json", schema)
    if "$ref" in described:
        target: Any = document
        for step in described["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return resolve(target, document, depth + 1)
    return {name: resolve(item, document, depth) for name, item in described.items()}
