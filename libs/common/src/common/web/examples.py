"""Examples of request bodies and answers, made from schemas and the examples their fields declare."""

from collections.abc import Mapping
from typing import Any, cast

Json = dict[str, Any]

_BY_NAME: Mapping[str, Any] = {
    "action": "workspace.created",
    "access_token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyXzAxIn0.c2lnbmF0dXJl",
    "company_address": "1 Main Street, Springfield",
    "expires_in": 900,
    "id": "user_01jcp0e84xf9e8wske7w6smprh",
    "method": "POST",
    "route": "/api/v1/campaigns",
    "status": 200,
    "type": "user",
    "instance": "/api/v1/campaigns",
    "ip": "203.0.113.7",
    "next_cursor": None,
    "primary_color": "#0b5fff",
    "onboarding_url": "/onboarding?tenant_id=tenant_01jcp0e84xf9e8wske7w6smprh",
    "refresh_token": "r_example",
    "request_id": "0192d5a0-7a1b-7c3d-8e4f-5a6b7c8d9e0f",
    "signed": "link_example",
    "source": "workspaces",
    "timezone": "Europe/Berlin",
    "token": "secret_of_the_link",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "user_agent": "Mozilla/5.0",
}
_BY_FORMAT = {
    "date-time": "2026-01-15T09:30:00Z",
    "email": "ada@acme.example",
    "hostname": "news.acme.example",
    "uri": "https://acme.example/",
}
_BY_TYPE: Mapping[str, Any] = {"integer": 1, "number": 1.5, "boolean": True, "null": None}


class Examples:
    """Examples for the schemas of one document; a field's own example also serves its namesakes."""

    def __init__(self, schemas: Mapping[str, Json]) -> None:
        self._schemas = schemas
        self._declared: dict[str, Any] = {}
        for schema in schemas.values():
            for name, field in cast(Json, schema.get("properties", {})).items():
                if field.get("examples"):
                    self._declared.setdefault(name, field["examples"][0])

    def of(self, schema: Json, name: str = "") -> Any:
        """One example that the schema accepts."""
        if "$ref" in schema:
            return self._referred(schema["$ref"])
        for declared in ("examples", "enum"):
            if schema.get(declared):
                return schema[declared][0]
        if "const" in schema:
            return schema["const"]
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self._of_several(schema[several], name)
        return self._of_type(schema, name)

    def _referred(self, reference: str) -> Any:
        return self.of(self._schemas[reference.rpartition("/")[2]])

    def _of_several(self, schemas: list[Json], name: str) -> Any:
        if name in _BY_NAME and _BY_NAME[name] is None:
            return None
        return self.of(next((one for one in schemas if one.get("type") != "null"), schemas[0]), name)

    def _of_type(self, schema: Json, name: str) -> Any:
        kind = schema.get("type", "object")
        if kind == "object":
            fields: Json = schema.get("properties", {})
            return {key: self.of(field, key) for key, field in fields.items() if not field.get("readOnly")}
        if kind == "array":
            return [self.of(schema["items"], name)] if "items" in schema else []
        if kind == "string":
            return self._of_text(schema, name)
        return _BY_NAME.get(name, schema.get("default", schema.get("minimum", _BY_TYPE[kind])))

    def _of_text(self, schema: Json, name: str) -> Any:
        if schema.get("format") in _BY_FORMAT:
            return _BY_FORMAT[schema["format"]]
        for known in (_BY_NAME, self._declared):
            if isinstance(known.get(name), str):
                return known[name]
        return schema.get("default", name.removesuffix("_id") or "text")
