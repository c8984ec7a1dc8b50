"""What in a new JSON Schema breaks those who wrote to, or read by, an older one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

Json = dict[str, Any]

LIMITS = ("format", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a schema says, with references followed and alternatives put together."""

    types: set[str] = field(default_factory=set[str])
    enum: set[str] = field(default_factory=set[str])
    open: bool = False
    """Some alternative takes more than an enumeration."""
    properties: Json = field(default_factory=dict[str, Any])
    required: set[str] = field(default_factory=set[str])
    items: Json = field(default_factory=dict[str, Any])
    values: Json = field(default_factory=dict[str, Any])
    """Schema of what a mapping holds under keys that it does not name."""
    limits: Json = field(default_factory=dict[str, Any])


class SchemaComparison:
    """Every breaking change between two schemas, as sentences.

    `incoming`: the side with the new schema reads what the other still writes by the old one; else it
    writes, and the other still reads by the old one. `old` and `new` are the definitions that references
    name by their last part.
    """

    def __init__(self, old: Json, new: Json) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str, bool]] = set()

    def of_schemas(self, where: str, old: Json, new: Json, *, incoming: bool) -> Iterator[str]:
        key = (str(old), str(new), incoming)
        if "$ref" in old and key in self._seen:
            return
        self._seen.add(key)
        before, after = _shape(old, self._old), _shape(new, self._new)
        narrowed = before.types - after.types if incoming else after.types - before.types
        if narrowed:
            yield f"{where}: {', '.join(sorted(narrowed))} {'not taken any more' if incoming else 'is new'}"
        yield from self.of_values(where, before, after, incoming=incoming)
        yield from self._of_fields(where, before, after, incoming=incoming)
        for part, name in ((before.items, "items"), (before.values, "values")):
            if part and getattr(after, name):
                yield from self.of_schemas(f"{where}[]", part, getattr(after, name), incoming=incoming)

    def of_values(self, where: str, old: Shape, new: Shape, *, incoming: bool) -> Iterator[str]:
        """Changes of what stands in a field; readers are taken to expect further values."""
        if new.enum and not new.open:
            yield from (f"{where}: value {value} is gone" for value in sorted(old.enum - new.enum))
            if incoming and old.open:
                yield f"{where}: only some values are taken"

    def of_missing(self, where: str, names: set[str]) -> Iterator[str]:
        """Fields that were written always and are optional now."""
        yield from (f"{where}.{name} may be missing" for name in sorted(names))

    def _of_fields(self, where: str, old: Shape, new: Shape, *, incoming: bool) -> Iterator[str]:
        for name in sorted(old.properties):
            if name not in new.properties:
                yield f"{where}.{name} is gone"
            else:
                before, after = old.properties[name], new.properties[name]
                yield from self.of_schemas(f"{where}.{name}", before, after, incoming=incoming)
        if incoming:
            yield from (f"{where}.{name} is required" for name in sorted(new.required - old.required))
        else:
            yield from self.of_missing(where, (old.required & set(new.properties)) - new.required)


def _shape(schema: Json, definitions: Json) -> Shape:
    if "$ref" in schema:
        return _shape(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return _together([_shape(one, definitions) for one in schema["anyOf"]])
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    kind = schema.get("type")
    rest = schema.get("additionalProperties")
    return Shape(
        types={kind} if kind else set(),
        enum={str(value) for value in values},
        open=not values and kind != "null",
        properties=schema.get("properties", {}),
        required=set(schema.get("required", [])),
        items=schema.get("items", {}),
        values=cast(Json, rest) if isinstance(rest, dict) else {},
        limits={name: schema[name] for name in LIMITS if name in schema},
    )


def _together(shapes: list[Shape]) -> Shape:
    """Alternatives as one: a field is required when every object among them requires it."""
    objects = [one.required for one in shapes if "object" in one.types]
    return Shape(
        types={name for one in shapes for name in one.types},
        enum={value for one in shapes for value in one.enum},
        open=any(one.open for one in shapes),
        properties={name: kind for one in shapes for name, kind in one.properties.items()},
        required={name for one in objects for name in one if all(name in other for other in objects)},
        items={name: kind for one in shapes for name, kind in one.items.items()},
        values={name: kind for one in shapes for name, kind in one.values.items()},
        limits={name: limit for one in shapes for name, limit in one.limits.items()},
    )
