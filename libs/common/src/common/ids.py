"""Identifiers: UUIDv7 in the database, TypeID text (`camp_01h…`) everywhere else.

Source of the text form: the TypeID specification 0.3 (prefix, underscore, 26 characters of base32).
"""

from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, cast
from uuid import UUID

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from typeid import TypeID, base32
from typeid.errors import TypeIDException
from uuid_utils.compat import uuid7

PLATFORM_TENANT = UUID(int=0)
"""Reserved tenant of everything that has none: unknown callers, operators, the platform itself."""


class Kind(StrEnum):
    """Prefix of each resource's identifiers."""

    TENANT = "tenant"
    USER = "user"
    WORKSPACE = "ws"
    CAMPAIGN = "camp"
    CONTACT = "contact"
    TEMPLATE = "tmpl"
    DOMAIN = "dom"
    LIST = "list"
    INVITATION = "inv"
    SESSION = "sess"
    API_KEY = "key"
    AUDIT_EVENT = "aud"
    FINDING = "find"
    EVENT = "evt"
    JOB = "job"
    OPERATOR = "op"


def new_id() -> UUID:
    """A fresh UUIDv7: ordered by time, unique across services."""
    return uuid7()


def to_text(kind: Kind, value: UUID) -> str:
    """The TypeID text of `value`."""
    return f"{kind}_{base32.encode(value.bytes)}"


def parse(kind: Kind, text: str) -> UUID:
    """The UUID of a TypeID text.

    Raises:
        ValueError: the text is malformed, not in its canonical form, or of another kind.
    """
    try:
        parsed = cast(TypeID[Any], TypeID.from_string(text))
    except (TypeIDException, ValueError, IndexError, KeyError, OverflowError) as error:
        raise ValueError("malformed identifier") from error
    if parsed.prefix != kind.value or str(parsed) != text:
        raise ValueError(f"not a {kind.value} identifier")
    return UUID(bytes=parsed.uuid_bytes)


def created_at(value: UUID) -> datetime | None:
    """Creation time inside a UUIDv7 (millisecond precision), or None for any other UUID version."""
    if value.version != 7:
        return None
    return datetime.fromtimestamp((value.int >> 80) / 1000, tz=UTC)


def age_seconds(value: UUID, now: datetime) -> float:
    """Seconds between the UUIDv7's own time and `now`; infinite for other UUIDs and for future ones."""
    born = created_at(value)
    if born is None or born > now:
        return float("inf")
    return (now - born).total_seconds()


class TypeIdText:
    """Pydantic annotation: TypeID text outside, `uuid.UUID` inside."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: to_text(self.kind, value), return_schema=core_schema.str_schema()
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": f"^{self.kind.value}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$",
            "maxLength": len(self.kind.value) + 27,
            "examples": [to_text(self.kind, UUID("01932c07-209d-7a5c-8e66-6e3f0d9a5b11"))],
        }

    def _validate(self, value: object) -> UUID:
        if isinstance(value, UUID):
            return value
        if isinstance(value, str):
            with suppress(ValueError):  # one message for every malformed identifier
                return parse(self.kind, value)
        raise PydanticCustomError("identifier", "must be a {kind}_… identifier", {"kind": self.kind.value})


TenantId = Annotated[UUID, TypeIdText(Kind.TENANT)]
UserId = Annotated[UUID, TypeIdText(Kind.USER)]
WorkspaceId = Annotated[UUID, TypeIdText(Kind.WORKSPACE)]
CampaignId = Annotated[UUID, TypeIdText(Kind.CAMPAIGN)]
ContactId = Annotated[UUID, TypeIdText(Kind.CONTACT)]
ListId = Annotated[UUID, TypeIdText(Kind.LIST)]
TemplateId = Annotated[UUID, TypeIdText(Kind.TEMPLATE)]
DomainId = Annotated[UUID, TypeIdText(Kind.DOMAIN)]
InvitationId = Annotated[UUID, TypeIdText(Kind.INVITATION)]
SessionId = Annotated[UUID, TypeIdText(Kind.SESSION)]
AuditEventId = Annotated[UUID, TypeIdText(Kind.AUDIT_EVENT)]
EventId = Annotated[UUID, TypeIdText(Kind.EVENT)]
OperatorId = Annotated[UUID, TypeIdText(Kind.OPERATOR)]
JobId = Annotated[UUID, TypeIdText(Kind.JOB)]
