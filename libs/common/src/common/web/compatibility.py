"""What in a new API document would break a client written against an older one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a schema says, with references followed and alternatives put together."""

    types: set[str] = field(default_factory=set[str])
    enum: set[str] = field(default_factory=set[str])
    open: bool = False
    """Some alternative takes more than an enumeration."""
    properties: Json = field(default_factory=dict[str, Any])
    required: set[str] = field(default_factory=set[str])
    items: Json = field(default_factory=dict[str, Any])


def breaks(old: Json, new: Json) -> list[str]:
    """Every breaking change from `old` to `new`, as a sentence."""
    return list(dict.fromkeys(_Comparison(old, new).of_paths()))


class _Comparison:
    def __init__(self, old: Json, new: Json) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str, bool]] = set()

    def of_paths(self) -> Iterator[str]:
        for path, item in self._old["paths"].items():
            for method, operation in item.items():
                now = self._new["paths"].get(path, {}).get(method)
                name = f"{method.upper()} {path}"
                if now is None:
                    yield f"{name} is gone"
                else:
                    yield from self._of_operation(name, operation, now)

    def _of_operation(self, name: str, old: Json, new: Json) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{name} is called {new['operationId']}, no longer {old['operationId']}"
        if new["security"] and not old["security"]:
            yield f"{name} needs an access token now"
        yield from self._of_parameters(name, old, new)
        yield from self._of_bodies(name, old, new)
        for status, answer in old["responses"].items():
            if int(status) >= 400:
                continue
            now = new["responses"].get(status)
            if now is None:
                yield f"{name} no longer answers {status}"
            else:
                yield from self._of_contents(f"{name} → {status}", answer, now, incoming=False)

    def _of_parameters(self, name: str, old: Json, new: Json) -> Iterator[str]:
        before = {(one["in"], one["name"].lower()): one for one in old["parameters"]}
        after = {(one["in"], one["name"].lower()): one for one in new["parameters"]}
        for key, one in before.items():
            if key not in after:
                yield f"{name} no longer takes {key[0]} parameter {one['name']}"
            else:
                yield from self._of_schemas(
                    f"{name} {one['name']}", one["schema"], after[key]["schema"], incoming=True
                )
        for key, one in after.items():
            if one.get("required") and not before.get(key, {}).get("required"):
                yield f"{name} needs {key[0]} parameter {one['name']}"

    def _of_bodies(self, name: str, old: Json, new: Json) -> Iterator[str]:
        before, after = old.get("requestBody", {}), new.get("requestBody", {})
        if after.get("required") and not before.get("required"):
            yield f"{name} needs a body"
        yield from self._of_contents(f"{name} body", before, after, incoming=True)

    def _of_contents(self, where: str, old: Json, new: Json, *, incoming: bool) -> Iterator[str]:
        for kind, content in old.get("content", {}).items():
            now = new.get("content", {}).get(kind)
            if now is None:
                yield f"{where}: no longer {kind}"
            else:
                yield from self._of_schemas(where, content["schema"], now["schema"], incoming=incoming)

    def _of_schemas(self, where: str, old: Json, new: Json, *, incoming: bool) -> Iterator[str]:
        key = (str(old), str(new), incoming)
        if "$ref" in old and key in self._seen:
            return
        self._seen.add(key)
        before, after = _shape(old, self._old), _shape(new, self._new)
        narrowed = before.types - after.types if incoming else after.types - before.types
        if narrowed:
            yield f"{where}: {', '.join(sorted(narrowed))} {'not taken any more' if incoming else 'is new'}"
        if after.enum and not after.open:
            yield from (f"{where}: value {value} is gone" for value in sorted(before.enum - after.enum))
            if incoming and before.open:
                yield f"{where}: only some values are taken"
        yield from self._of_fields(where, before, after, incoming=incoming)
        if before.items and after.items:
            yield from self._of_schemas(f"{where}[]", before.items, after.items, incoming=incoming)

    def _of_fields(self, where: str, old: _Shape, new: _Shape, *, incoming: bool) -> Iterator[str]:
        for name in sorted(old.properties):
            if name not in new.properties:
                yield f"{where}.{name} is gone"
            else:
                before, after = old.properties[name], new.properties[name]
                yield from self._of_schemas(f"{where}.{name}", before, after, incoming=incoming)
        if incoming:
            yield from (f"{where}.{name} is required" for name in sorted(new.required - old.required))
        else:
            kept = old.required & set(new.properties)
            yield from (f"{where}.{name} may be missing" for name in sorted(kept - new.required))


def _shape(schema: Json, document: Json) -> _Shape:
    if "$ref" in schema:
        return _shape(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "anyOf" in schema:
        return _together([_shape(one, document) for one in schema["anyOf"]])
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    kind = schema.get("type")
    return _Shape(
        types={kind} if kind else set(),
        enum={str(value) for value in values},
        open=not values and kind != "null",
        properties=schema.get("properties", {}),
        required=set(schema.get("required", [])),
        items=schema.get("items", {}),
    )


def _together(shapes: list[_Shape]) -> _Shape:
    """Alternatives as one: a field is required when every object among them requires it."""
    objects = [one.required for one in shapes if "object" in one.types]
    return _Shape(
        types={name for one in shapes for name in one.types},
        enum={value for one in shapes for value in one.enum},
        open=any(one.open for one in shapes),
        properties={name: kind for one in shapes for name, kind in one.properties.items()},
        required={name for one in objects for name in one if all(name in other for other in objects)},
        items={name: kind for one in shapes for name, kind in one.items.items()},
    )
