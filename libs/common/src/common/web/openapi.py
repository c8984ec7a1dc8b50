"""The one OpenAPI 3.1 document of all services, made from their applications and checked while it is made."""

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute

from common import errors
from common.errors import ApiError
from common.web.effects import Effects, effects_of
from common.web.error_handlers import ERRORS_OF_EVERY_ROUTE
from common.web.examples import Examples
from common.web.platform import PlatformRoute
from common.web.routes import InternalRoute, TenantRoute, routes_in

Json = dict[str, Any]

PROBLEM_JSON = "application/problem+json"
SCHEME = "accessToken"
OPERATOR_SCHEME = "operatorToken"
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_HEADERS: Mapping[str, tuple[str, Json]] = {
    "ETag": ("The state of the resource, for `If-Match`", {"type": "string", "maxLength": 200}),
    "Location": ("Where the new resource is", {"type": "string", "maxLength": 2048}),
    "Retry-After": (
        "Seconds to wait",
        {"type": "integer", "format": "int32", "minimum": 0, "maximum": 86400},
    ),
    "RateLimit": (
        "What is left of the policy named: requests `r`, and seconds `t` until there is more",
        {
            "type": "string",
            "pattern": r'^"(tenant|session|operator)";r=\d{1,9};t=\d{1,5}$',
            "example": '"tenant";r=299;t=60',
        },
    ),
    "RateLimit-Policy": (
        "The requests `q` that may be made in `w` seconds, by the tenant, this session or the operator",
        {
            "type": "string",
            "pattern": r'^"(tenant|session|operator)";q=\d{1,9};w=60$',
            "example": '"tenant";q=300;w=60',
        },
    ),
    "Cache-Control": ("How long the answer may be kept", {"type": "string", "maxLength": 200}),
    "Idempotent-Replayed": ("`true` on an answer given again", {"type": "string", "enum": ["true"]}),
    "X-Request-Id": (
        "The request's id, the client's own if it sent one",
        {"type": "string", "maxLength": 128},
    ),
    "X-Trace-Id": ("The request's trace", {"type": "string", "pattern": "^[0-9a-f]{32}$"}),
    "WWW-Authenticate": ("`Bearer` and why", {"type": "string", "maxLength": 200}),
}
_EVERY_ANSWER = ("X-Request-Id", "X-Trace-Id")
_COUNTED_ANSWER = (*_EVERY_ANSWER, "RateLimit", "RateLimit-Policy")
_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and body give the stored answer again, for 24 hours",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
_SUCCESS = {200: "Done", 201: "Created", 202: "Accepted", 204: "Done; there is nothing to say"}
_PARAMETER_EXAMPLES = {"Idempotency-Key": "0192d5a0-7a1b-7c3d-8e4f-5a6b7c8d9e0f", "If-Match": '"v1"'}
_PARAMETERS = {"signed": "The secret of the link", "status": "Only those with this status"}


class Unmergeable(ValueError):
    """Two services, or two routes, that say different things under one name."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation for people outside: its route and what the code behind it may do."""

    service: str
    method: str
    route: APIRoute
    effects: Effects

    @property
    def is_tenants(self) -> bool:
        return isinstance(self.route, TenantRoute)

    @property
    def is_platforms(self) -> bool:
        return isinstance(self.route, PlatformRoute)

    def codes(self) -> dict[int, list[str]]:
        """Every code of an error answer, by status."""
        kinds: set[type[ApiError]] = set(self.effects.errors) | set(ERRORS_OF_EVERY_ROUTE)
        kinds |= {errors.Invalid} if self.route.dependant.body_params or self._takes_values() else set()
        kinds |= {errors.PayloadTooLarge} if self.route.dependant.body_params else set()
        if self.is_tenants:
            kinds |= {errors.CrossTenantForbidden, errors.TenantSuspended}
        if self.is_tenants or self.is_platforms:
            kinds |= {errors.Unauthenticated, errors.TooManyRequests}
        if self.is_keyed:
            kinds |= {errors.IdempotencyInProgress, errors.IdempotencyKeyReused}
        declared = {int(status) for status in self.route.responses if int(status) >= 400}
        found: defaultdict[int, set[str]] = defaultdict(set)
        for kind in kinds:
            found[kind.status].add(kind.code)
        if 429 in declared:
            found[429].add(errors.TooManyRequests.code)
        if self.route.dependant.path_params:
            found[404].add(errors.NotFound.code)
        return {status: sorted(found[status]) for status in sorted(found)}

    def headers(self, status: int) -> tuple[str, ...]:
        """The headers of every answer with the status."""
        counted = self.is_tenants or self.is_platforms
        return _COUNTED_ANSWER if counted and status != 401 else _EVERY_ANSWER

    @property
    def security(self) -> list[Json]:
        """Which token it takes; none for anybody."""
        if self.is_platforms:
            return [{OPERATOR_SCHEME: []}]
        return [{SCHEME: []}] if self.is_tenants else []

    @property
    def is_keyed(self) -> bool:
        """Whether `Idempotency-Key` works here."""
        return self.is_tenants and self.method == "post" and self.effects.keyed

    def _takes_values(self) -> bool:
        dependant = self.route.dependant
        return bool(dependant.query_params or dependant.header_params) or self.is_keyed


def operations(service: str, app: FastAPI) -> Iterator[Operation]:
    """All documented operations of a service, without the internal ones."""
    for route in routes_in(app.routes):
        if route.include_in_schema and not isinstance(route, InternalRoute):
            found = effects_of(route)
            yield from (
                Operation(service, method.lower(), route, found) for method in sorted(route.methods or ())
            )


def merged_document(apps: Mapping[str, FastAPI]) -> Json:
    """The document of all services.

    Raises:
        Unmergeable: a schema's name, an operation or an `operationId` is taken twice.
    """
    paths: dict[str, Json] = {}
    schemas: dict[str, Json] = {}
    for name, app in apps.items():
        own = _renamed(app.openapi())
        for schema, definition in own["components"]["schemas"].items():
            if schemas.setdefault(schema, definition) != definition:
                raise Unmergeable(f"{name} has another schema {schema} than the services before it")
        for operation in operations(name, app):
            item = paths.setdefault(operation.route.path_format, {})
            if operation.method in item:
                raise Unmergeable(f"{name} repeats {operation.method} {operation.route.path_format}")
            item[operation.method] = own["paths"][operation.route.path_format][operation.method]
            _complete(item[operation.method], operation)
    _refuse_repeated_ids(paths)
    _bound(schemas)
    _add_examples(paths, Examples(schemas))
    return _around(paths, schemas)


def _renamed(document: Json) -> Json:
    """`Page[Campaign]` is called `CampaignPage`."""
    text = re.sub(r"Page_(\w+?)_(?=\")", r"\1Page", json.dumps(document))
    return cast(Json, json.loads(text))


def _refuse_repeated_ids(paths: Mapping[str, Json]) -> None:
    ids = [operation.get("operationId") for item in paths.values() for operation in item.values()]
    repeated = {name for name in ids if name is None or ids.count(name) > 1}
    if repeated:
        raise Unmergeable(f"operationId missing or repeated: {repeated}")


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"\.(?: |$)", paragraph, maxsplit=1)[0]


def _complete(described: Json, operation: Operation) -> None:
    """Put into an operation's description what the framework cannot know."""
    text = inspect.getdoc(operation.route.endpoint) or ""
    if not text:
        raise Unmergeable(f"{described['operationId']} has no docstring")
    described["summary"] = _first_sentence(text)
    described["description"] = text
    described["security"] = operation.security
    parameters: list[Json] = described.setdefault("parameters", [])
    if operation.is_keyed:
        parameters.append(deepcopy(_IDEMPOTENCY_KEY))
    for parameter in parameters:
        _tidy(parameter)
    described["responses"] = {
        **_successes(described["responses"], operation),
        **{str(status): _failure(status, codes, operation) for status, codes in operation.codes().items()},
    }


def _tidy(parameter: Json) -> None:
    """Say what it is and how it is written; a parameter is left out, never null."""
    if parameter["in"] == "header":
        parameter["name"] = parameter["name"].title()
    parameter.setdefault("description", _describe(parameter["name"]))
    schema: Json = parameter["schema"]
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        del schema["anyOf"]
        schema.update(choices[0])
    if parameter["name"] in _PARAMETER_EXAMPLES:
        parameter["example"] = _PARAMETER_EXAMPLES[parameter["name"]]


def _describe(name: str) -> str:
    if name in _PARAMETERS:
        return _PARAMETERS[name]
    return f"Id of the {name.removesuffix('_id').replace('_', ' ')}" if name.endswith("_id") else f"By {name}"


def _successes(responses: Json, operation: Operation) -> Json:
    kept = {status: answer for status, answer in responses.items() if int(status) < 400}
    for status, answer in kept.items():
        if answer["description"] == "Successful Response":
            answer["description"] = _SUCCESS[int(status)]
        own = sorted(operation.effects.headers & set(_HEADERS)) if int(status) != 204 else []
        answer["headers"] = _headers(*operation.headers(int(status)), *own)
    return kept


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _failure(status: int, codes: list[str], operation: Operation) -> Json:
    code = "validation_failed" if "validation_failed" in codes else codes[0]
    document: Json = {
        "type": errors.type_of(code),
        "title": next(kind.title for kind in _kinds() if kind.status == status),
        "status": status,
        "detail": "What went wrong, in a sentence.",
        "instance": operation.route.path_format,
        "code": code,
        "trace_id": _TRACE,
    }
    if status == 422:
        document["errors"] = [{"pointer": "/name", "message": "must not contain control characters"}]
    own = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
    return {
        "description": f"{document['title']}: " + ", ".join(f"`{code}`" for code in codes),
        "headers": _headers(*operation.headers(status), *own),
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": document}},
    }


def _kinds(base: type[ApiError] = ApiError) -> Iterator[type[ApiError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)
    if base is ApiError:
        yield base


def _bound(schema: Any) -> None:
    """Every integer says its format."""
    if isinstance(schema, dict):
        fields = cast(Json, schema)
        if fields.get("type") == "integer":
            fields.setdefault("format", "int32")
        for inner in fields.values():
            _bound(inner)
    elif isinstance(schema, list):
        for inner in cast(list[Any], schema):
            _bound(inner)


def _add_examples(paths: Mapping[str, Json], examples: Examples) -> None:
    for item in paths.values():
        for operation in item.values():
            for parameter in operation["parameters"]:
                _bound(parameter["schema"])
                parameter.setdefault("example", examples.of(parameter["schema"], parameter["name"]))
            carriers = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in (content for one in carriers for content in one.get("content", {}).values()):
                content.setdefault("example", examples.of(content["schema"]))


def _around(paths: Mapping[str, Json], schemas: Mapping[str, Json]) -> Json:
    tags = sorted({tag for item in paths.values() for one in item.values() for tag in one["tags"]})
    headers = {name: {"description": text, "schema": kind} for name, (text, kind) in _HEADERS.items()}
    scheme = _bearer(
        "An access token (RFC 9068), signed as RFC8725 asks; it lives minutes and belongs "
        "to one tenant. The answer to `createTenant` carries the first."
    )
    operators = _bearer(
        "An access token (RFC 9068), signed as RFC8725 asks, of an operator of the platform, with an "
        "audience of its own. It lives minutes, belongs to no tenant and opens nothing else."
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "PenguinMails",
            "version": "1.0.0",
            "summary": "Multi-tenant e-mail campaigns",
            "description": "Every error is a problem document (RFC 9457) with a stable `code`; what is not "
            "yours is answered like what does not exist. Lists are newest first; `next_cursor` asks for "
            "more.",
            "contact": {"name": "PenguinMails", "url": "https://penguinmails.dev"},
        },
        "servers": [
            {"url": "/", "description": "This installation, local or production", "x-internal": False}
        ],
        "security": [{SCHEME: []}],
        "tags": [{"name": tag, "description": f"All about {tag}"} for tag in tags],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {SCHEME: scheme, OPERATOR_SCHEME: operators},
            "headers": headers,
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _bearer(description: str) -> Json:
    return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": description}
