"""Identifiers as they are seen from outside: `camp_01h…`, of any kind."""

import re
import time
from typing import Any, cast
from uuid import UUID, uuid4

from typeid import TypeID

_PATTERN = re.compile(r"\^([a-z]+)_\[0-7\]")
_TEXT = re.compile(r"(?<![a-z0-9])([a-z]{2,16})_[0-7][0-9a-hjkmnp-tv-z]{25}(?![a-z0-9])")
TENANT = "tenant"


def find(text: str) -> list[tuple[str, str]]:
    """Every identifier in the text with its kind, in order."""
    return [(match[1], match[0]) for match in _TEXT.finditer(text)]


def kind_of(schema: dict[str, Any]) -> str | None:
    """The kind of identifier that a schema of one value takes."""
    for choice in schema.get("anyOf", [schema]):
        found = _PATTERN.match(choice.get("pattern", ""))
        if found is not None:
            return found[1]
    return None


def never(kind: str) -> str:
    """An identifier that never was anybody's, an hour old."""
    millis = int((time.time() - 3600) * 1000)
    value = (millis << 80) | (uuid4().int & ((1 << 80) - 1))
    value = (value & ~(0xF << 76)) | (7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return str(TypeID.from_uuid(UUID(int=value), kind))  # type: ignore[arg-type]  # untyped library


def uuid_text(identifier: str) -> str:
    """The same identifier as databases write it."""
    parsed = cast("TypeID[Any]", TypeID.from_string(identifier))
    return str(UUID(bytes=parsed.uuid_bytes))
