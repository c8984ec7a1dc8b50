"""The envelope (CloudEvents 1.0, Kafka binary mode) and the base class of every event."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from common import clock
from common.contracts.texts import RequestId
from common.ids import Kind, parse, to_text

SPEC_VERSION = "1.0"
TYPE_PREFIX = "penguinmails"

Topic = Literal[
    "penguinmails.tenants",
    "penguinmails.users",
    "penguinmails.workspaces",
    "penguinmails.campaigns",
    "penguinmails.security",
    "penguinmails.access",
]
TOPICS: tuple[Topic, ...] = (
    "penguinmails.tenants",
    "penguinmails.users",
    "penguinmails.workspaces",
    "penguinmails.campaigns",
    "penguinmails.security",
    "penguinmails.access",
)
PARTITIONS = 12
_KNOWN_TENANTS = 4096
"""Tenants whose texts are remembered: a service meets the same ones again and again."""

_LONGEST_NAME = 255
_LARGEST = 2**63 - 1
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[ -~]{1,512}")

Life = Literal["birth", "change", "death", "none"]
"""What an event says of its aggregate's existence; `none`: the subject is not a resource."""

_REGISTRY: dict[str, type["Event"]] = {}


class InvalidEvent(ValueError):
    """Bytes from the broker that are not an event of the contract. The message names no payload."""


class Part(BaseModel):
    """A nested value of an event: written closed, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Actor(Part):
    """Who did it. `id` is a TypeID, a service name for `system`, or None for an unknown caller."""

    type: Literal["user", "api_key", "operator", "system", "anonymous"]
    id: Annotated[str | None, Field(examples=["user_01jcp0e84xf9e8wske7w6smprh"])] = None


class Meta(Part):
    """Ids that tie an event to its cause; never personal data."""

    actor: Actor
    request_id: RequestId | None = None
    cause_id: Annotated[str | None, Field(examples=["evt_01jcp0e84xf9e8wske7w6smprh"])] = None


class Event(BaseModel):
    """A fact. Written closed (unknown fields refused), read open (`read`).

    Subclasses declare on which topic they travel, which field is their aggregate (`SUBJECT`), what the
    aggregate is called (`RESOURCE`), the audit action, and whether they begin or end the resource's life.
    What is about a resource has its `version`: as it is after the change, or as it was when there was none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    TOPIC: ClassVar[Topic]
    SUBJECT: ClassVar[str]
    RESOURCE: ClassVar[str]
    ACTION: ClassVar[str | None]
    LIFE: ClassVar[Life] = "change"
    VERSION: ClassVar[int] = 1
    OUTLIVES_TENANT: ClassVar[bool] = False
    """Whether it is handled when its tenant is deleted; all others are passed over then."""
    FROM_ANY: ClassVar[bool] = False
    """Whether every service tells of it; all others come from the service whose module declares them."""

    meta: Meta | None = None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.__name__.startswith("_"):
            return  # the shared part of a family of events
        missing = [name for name in ("TOPIC", "SUBJECT", "RESOURCE", "ACTION") if not hasattr(cls, name)]
        if cls.LIFE != "none" and "version" not in cls.model_fields:
            missing.append("version")
        if missing or cls.SUBJECT not in cls.model_fields:
            raise TypeError(f"{cls.__name__} declares no {missing or cls.SUBJECT}")
        if cls.ce_type() in _REGISTRY:
            raise TypeError(f"{cls.ce_type()} is declared twice")
        _REGISTRY[cls.ce_type()] = cls

    @classmethod
    def ce_type(cls) -> str:
        return f"{TYPE_PREFIX}.{cls.__name__}.v{cls.VERSION}"

    @classmethod
    def home(cls) -> str | None:
        """The service that alone tells of it; None: all may."""
        return None if cls.FROM_ANY else cls.__module__.rpartition(".")[2]

    @classmethod
    def comes_from(cls, source: str) -> bool:
        """Whether `source` is a service that may tell of it."""
        return cls.home() in (None, source)

    @property
    def subject(self) -> str:
        """TypeID text of the aggregate; order is promised per subject."""
        return str(self.model_dump(mode="json", include={self.SUBJECT})[self.SUBJECT])

    @classmethod
    def read(cls, data: bytes | str) -> Self:
        """Parse a payload, ignoring fields that a newer producer may have added."""
        return cls.model_validate_json(data, extra="ignore")


def registry() -> Mapping[str, type[Event]]:
    """All events by `ce_type`."""
    return dict(_REGISTRY)


def find_type(ce_type: str) -> type[Event] | None:
    """The event of this `ce_type`, or None for a type this code does not know yet."""
    return _REGISTRY.get(ce_type)


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event as it stands in Kafka. `sequence` is contiguous per producer (`source`)."""

    event_id: UUID
    source: str
    type: str
    time: datetime
    subject: str
    tenant_id: UUID
    sequence: int
    data: bytes
    traceparent: str | None = None
    tracestate: str | None = None

    @property
    def key(self) -> bytes:
        return tenant_key(self.tenant_id).encode()

    def event(self) -> Event | None:
        """The typed event, or None for a type this code does not know yet.

        Raises:
            InvalidEvent: the payload breaks the contract of its type, or another service speaks than the one
                whose fact it is.
        """
        cls = find_type(self.type)
        if cls is None:
            return None
        if not cls.comes_from(self.source):
            raise InvalidEvent(f"{self.type} comes from a service that cannot know")
        try:
            event = cls.read(self.data)
        except ValueError as error:
            raise InvalidEvent(f"payload of {self.type} breaks its contract") from error
        if getattr(event, "service", self.source) != self.source:
            raise InvalidEvent(f"{self.type} reports for another service")
        return event

    def headers(self) -> list[tuple[str, bytes]]:
        """Kafka headers of CloudEvents' binary mode."""
        pairs = {
            "ce_specversion": SPEC_VERSION,
            "ce_id": to_text(Kind.EVENT, self.event_id),
            "ce_source": f"/{TYPE_PREFIX}/{self.source}",
            "ce_type": self.type,
            "ce_time": clock.rfc3339(self.time),
            "ce_subject": self.subject,
            "ce_tenantid": tenant_key(self.tenant_id),
            "ce_partitionkey": tenant_key(self.tenant_id),
            "ce_sequence": str(self.sequence),
            "content-type": "application/json",
        }
        if self.traceparent:
            pairs["traceparent"] = self.traceparent
        if self.tracestate:
            pairs["tracestate"] = self.tracestate
        return [(name, value.encode()) for name, value in pairs.items()]

    @classmethod
    def from_kafka(cls, headers: Iterable[tuple[str, bytes]], key: bytes | None, value: bytes | None) -> Self:
        """Read a record. What it says can be stored and told on; of a trace that is none, nothing is kept.

        Raises:
            InvalidEvent: a header is missing or malformed, or the key is not the event's tenant.
        """
        try:
            fields = {name: raw.decode() for name, raw in headers}
            tenant = fields["ce_tenantid"]
            if key is None or key.decode() != tenant or value is None:
                raise ValueError("key and tenant differ")
            return cls(
                event_id=parse(Kind.EVENT, fields["ce_id"]),
                source=_name(fields["ce_source"]).removeprefix(f"/{TYPE_PREFIX}/"),
                type=_name(fields["ce_type"]),
                time=_moment(fields["ce_time"]),
                subject=_name(fields["ce_subject"]),
                tenant_id=_tenant_of(tenant),
                sequence=_sequence(fields["ce_sequence"]),
                data=value,
                traceparent=_matching(_TRACEPARENT, fields.get("traceparent")),
                tracestate=_matching(_TRACESTATE, fields.get("tracestate")),
            )
        except (KeyError, ValueError, AttributeError, OverflowError) as error:  # a header's value may be null
            raise InvalidEvent("headers break the envelope") from error


def _name(text: str) -> str:
    """What stands in indexes, which take no more."""
    if len(text) > _LONGEST_NAME:
        raise ValueError("too long for a name")
    return text


def _moment(text: str) -> datetime:
    """In UTC: at the ends of the calendar not every offset has one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without an offset")
    return moment.astimezone(UTC)


def _sequence(text: str) -> int:
    number = int(text)
    if abs(number) > _LARGEST:
        raise ValueError("no number of the database's")
    return number


def _matching(form: re.Pattern[str], text: str | None) -> str | None:
    return text if text and form.fullmatch(text) else None


def storable(text: str) -> str:
    """`text` without what PostgreSQL cannot store (NUL, lone surrogates); for records of unknown origin."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


@lru_cache(maxsize=_KNOWN_TENANTS)
def tenant_key(tenant_id: UUID) -> str:
    """Partition key and `ce_tenantid` of a tenant's events."""
    return to_text(Kind.TENANT, tenant_id)


@lru_cache(maxsize=_KNOWN_TENANTS)
def _tenant_of(key: str) -> UUID:
    return parse(Kind.TENANT, key)
