"""Request bodies made from their schemas, with identifiers and words of one party."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, cast

from penguinmails.isolation import typeids
from penguinmails.isolation.document import Json, Operation

Place = tuple[str | int, ...]
"""Where in a body a value stands."""


class Words(Protocol):
    """What a party fills bodies with; names differ each time, so that nothing is taken already."""

    def latest(self, kind: str) -> str | None: ...
    def name(self) -> str: ...
    def email(self) -> str: ...
    def hostname(self) -> str: ...


class CannotFill(Exception):
    """No value for a field is known."""


def fill(operation: Operation, words: Words) -> Json | None:
    """A body with all required fields and all that name a resource; at least one field.

    Raises:
        CannotFill: a required field takes what nobody here knows.
    """
    return None if operation.body is None else _object(operation.body, words)


def from_example(operation: Operation, words: Words) -> Json | None:
    """The document's example with identifiers and addresses of the party."""

    def own(text: str) -> str:
        kinds = typeids.find(text)
        if kinds:
            return words.latest(kinds[0][0]) or text
        return words.email() if "@" in text else text

    return None if operation.example is None else cast("Json", _mapped(operation.example, own))


def places(body: Any, at: Place = ()) -> Iterator[tuple[Place, str]]:
    """Where identifiers stand in a body, and their kinds."""
    if isinstance(body, dict):
        for name, value in cast("Json", body).items():
            yield from places(value, (*at, name))
    elif isinstance(body, list):
        for index, value in enumerate(cast("list[Any]", body)):
            yield from places(value, (*at, index))
    elif isinstance(body, str) and (found := typeids.find(body)) and found[0][1] == body:
        yield at, found[0][0]


def kinds(schema: Json) -> set[str]:
    """All kinds of identifiers that a body of this schema may name."""
    chosen = _choice(schema)
    kind = typeids.kind_of(chosen)
    inner = [*chosen.get("properties", {}).values(), *([chosen["items"]] if "items" in chosen else [])]
    found = {kind} if kind else set[str]()
    return found.union(*(kinds(each) for each in inner))


def replaced(body: Any, at: Place, value: str) -> Any:
    """The body with another value in that place."""
    if not at:
        return value
    copy = body.copy()
    copy[at[0]] = replaced(body[at[0]], at[1:], value)
    return copy


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _mapped(inner, change) for name, inner in cast("Json", value).items()}
    if isinstance(value, list):
        return [_mapped(inner, change) for inner in cast("list[Any]", value)]
    return change(value) if isinstance(value, str) else value


def _choice(schema: Json) -> Json:
    """The first alternative that is not null."""
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            kept = [choice for choice in schema[word] if choice.get("type") != "null"]
            rest = {name: value for name, value in schema.items() if name != word}
            return {**rest, **_choice(kept[0])}
    return schema


def _object(schema: Json, words: Words) -> Json:
    chosen = _choice(schema)
    fields: Json = {name: of for name, of in chosen.get("properties", {}).items() if not of.get("readOnly")}
    required = set(chosen.get("required", ()))
    body: Json = {}
    for name, of in fields.items():
        if name in required or (kinds(of) and _known(of, words)):
            body[name] = _value(of, words)
    if not body and fields:
        name = next(iter(fields))
        body[name] = _value(fields[name], words)
    return body


def _known(schema: Json, words: Words) -> bool:
    """Whether the party has what an optional field would name."""
    try:
        _value(schema, words)
    except CannotFill:
        return False
    return True


def _value(schema: Json, words: Words) -> Any:
    chosen = _choice(schema)
    if (kind := typeids.kind_of(chosen)) is not None:
        known = words.latest(kind)
        if known is None:
            raise CannotFill(f"no {kind}_… of one's own is known")
        return known
    if "const" in chosen or "enum" in chosen:
        return chosen.get("const", (chosen.get("examples") or chosen.get("enum", [None]))[0])
    make = _MAKERS.get(chosen.get("type", ""))
    return make(chosen, words) if make else _known_example(chosen)


def _array(schema: Json, words: Words) -> list[Any]:
    wanted = schema.get("minItems", 0) or kinds(schema)
    return [_value(schema["items"], words)] if wanted and "items" in schema else []


def _text(schema: Json, words: Words) -> str:
    form: str | None = schema.get("format")
    if form in _FORMATS:
        return _FORMATS[form](words)
    name = words.name().ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
    if form is None and accepts(schema, name):
        return name
    return str(_known_example(schema))


def accepts(schema: Json, text: str) -> bool:
    """Whether the schema's pattern, if it has one, lets the text through."""
    return re.search(schema.get("pattern", ""), text) is not None


def _tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


_FORMATS: dict[str | None, Callable[[Words], str]] = {
    "email": lambda words: words.email(),
    "hostname": lambda words: words.hostname(),
    "uri": lambda words: f"https://{words.hostname()}/",
    "date-time": lambda _: _tomorrow(),
    "date": lambda _: _tomorrow()[:10],
}

_MAKERS: dict[str, Callable[[Json, Words], Any]] = {
    "string": _text,
    "array": _array,
    "object": _object,
    "boolean": lambda schema, _: schema.get("default", True),
    "integer": lambda schema, _: schema.get("default", schema.get("minimum", 1)),
    "number": lambda schema, _: schema.get("default", schema.get("minimum", 1)),
}


def _known_example(schema: Json) -> Any:
    for example in (*schema.get("examples", ()), *([schema["default"]] if "default" in schema else ())):
        return example
    raise CannotFill(f"{schema.get('title', 'a field')} has neither a known form nor an example")
