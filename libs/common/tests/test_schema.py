"""Building blocks of schemas: what they refuse, they also say in their JSON schema."""

from typing import Annotated, Any

import jsonschema_rs
import pytest
from pydantic import TypeAdapter, ValidationError

from common.schema import Body, NotNull, Text

TEXT: TypeAdapter[str] = TypeAdapter(Text)


class Change(Body):
    name: Annotated[Text | None, NotNull] = None
    note: Text | None = None


def allows(schema: dict[str, Any], text: str) -> bool:
    """Whether somebody who only reads the schema would send the text."""
    return jsonschema_rs.validator_for(schema).is_valid(text)


@pytest.mark.parametrize("text", ["a", "Ada Lovelace", " Ada ", "é🐧", "a" * 255])
def test_text_takes_what_its_schema_allows(text: str) -> None:
    assert allows(TEXT.json_schema(), text)
    assert TEXT.validate_python(text) == text.strip()


@pytest.mark.parametrize("text", ["", " ", "a" * 256, "a\nb", "a\n", "\ta", "a\x00", "a\x7f", "a\x85"])
def test_text_refuses_what_its_schema_does_not_allow(text: str) -> None:
    assert not allows(TEXT.json_schema(), text)
    with pytest.raises(ValidationError):
        TEXT.validate_python(text)


def test_what_cannot_be_null_does_not_say_it_can() -> None:
    described = Change.model_json_schema()["properties"]
    assert described["name"]["type"] == "string"
    assert {"type": "null"} in described["note"]["anyOf"]
    assert Change.model_validate({"note": None}).note is None
    with pytest.raises(ValidationError, match="must not be null"):
        Change.model_validate({"name": None})
