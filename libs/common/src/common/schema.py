"""Building blocks of request and answer schemas."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar, cast, get_args, get_origin

from email_validator import validate_email
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from common.clock import rfc3339

MAX_JSON_DEPTH = 8


class Says:
    """Adds keywords to a JSON schema: rules that code checks and the schema can say."""

    def __init__(self, **keywords: Any) -> None:
        self._keywords = keywords

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), **self._keywords}


def _no_controls(text: Any) -> Any:
    if isinstance(text, str) and any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text):
        raise ValueError("must not contain control characters")
    return text


def _storable(value: Any, depth: int = 0) -> Any:
    """Accept only JSON that PostgreSQL can store as jsonb, of bounded depth."""
    if depth > MAX_JSON_DEPTH:
        raise ValueError(f"must not be nested deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, str):
        if "\x00" in value or any(0xD800 <= ord(char) <= 0xDFFF for char in value):
            raise ValueError("must not contain NUL or lone surrogates")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must not contain NaN or infinities")
    elif isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            _storable(key, depth + 1)
            _storable(item, depth + 1)
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            _storable(item, depth + 1)
    return cast(Any, value)


Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, strip_whitespace=True),
    BeforeValidator(_no_controls),
    Says(pattern=r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"),
]
"""1–255 characters after trimming, without control characters."""


def _normal_email(text: str) -> str:
    return validate_email(text, check_deliverability=False, test_environment=True).normalized.lower()


class _NotNull:
    """Refuses null, in the JSON schema as well."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._refuse, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        choices = [one for one in described.pop("anyOf", []) if one.get("type") != "null"]
        return {**described, **(choices[0] if len(choices) == 1 else {"anyOf": choices})}

    @staticmethod
    def _refuse(value: Any) -> Any:
        if value is None:
            raise ValueError("must not be null")
        return value


Email = Annotated[
    Text,
    AfterValidator(_normal_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 254}),
]
"""A bare e-mail address without a display name, normalised: NFC, lower case."""

NotNull = _NotNull()
"""For a field of an update that may be left out but not be null."""

JsonObject = Annotated[dict[str, Any], AfterValidator(_storable)]
"""A JSON object of the client's own making, at most `MAX_JSON_DEPTH` deep."""

_AS_TEXT = PlainSerializer(rfc3339, return_type=str, when_used="json")
Timestamp = Annotated[
    datetime,
    _AS_TEXT,
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 27}, mode="serialization"),
]
"""RFC 3339 in UTC with `Z`."""


TIME_FORMAT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
"""The same for PostgreSQL's `to_char` of a time in UTC."""


def marks_of(annotation: Any) -> Iterator[Any]:
    """What an annotation and its parts are annotated with."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for part in get_args(annotation):
        yield from marks_of(part)


def is_time(annotation: Any) -> bool:
    """Whether it is `Timestamp`, or that or nothing."""
    return _AS_TEXT in marks_of(annotation)


def _rfc3339_only(value: Any) -> Any:
    if not isinstance(value, datetime) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]", str(value)):
        raise ValueError("must be an RFC 3339 time, such as 2026-01-15T09:30:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    """At the ends of the calendar not every offset has a time in UTC."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time within the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339_only), AfterValidator(_in_utc)]
"""RFC 3339 with an offset, from a client; a bare number is no time."""

Item = TypeVar("Item")


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", str_max_length=100_000)


class Answer(BaseModel):
    """An answer, built from rows by attribute."""

    model_config = ConfigDict(from_attributes=True)


class Page(Answer, Generic[Item]):
    """One page of a list, newest first. `next_cursor` is null on the last one."""

    data: list[Item]
    next_cursor: str | None = None


class Problem(BaseModel):
    """RFC 9457 problem document. `limit`, `current` and `maximum`: which limit of the plan is reached."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    trace_id: str
    errors: list[dict[str, str]] | None = None
    limit: str | None = None
    current: int | None = None
    maximum: int | None = None
