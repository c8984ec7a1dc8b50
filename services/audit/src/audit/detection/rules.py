"""Judgement of an access by the owner of what it aimed at. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from common.contracts import registry
from common.contracts.envelope import Actor
from common.ids import Kind, TypeIdText, parse

AccessKind = Literal["explicit", "denied", "missed", "succeeded"]
Flag = Literal["none", "not_found", "cross_tenant_attempt", "isolation_breach"]
Severity = Literal["info", "low", "medium", "high", "critical"]

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Access:
    """One event's touch of one resource.

    `explicit`: refused for naming the tenant `resource` (None: not said which). `denied`, `missed`: refused
    or not found inside the actor's tenant. `succeeded`: it happened.
    """

    tenant_id: UUID
    event_id: UUID
    occurred_at: datetime
    kind: AccessKind
    resource: str | None
    writes: bool
    actor: Actor
    request_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`victim` is the other tenant concerned, when there is one that exists."""

    flag: Flag
    severity: Severity
    victim: UUID | None = None


def judge(access: Access, owner: UUID | None) -> Verdict | None:
    """What to say of `access` given the tenant that owns (or owned) its resource; None: nothing special."""
    foreign = owner if owner != access.tenant_id else None
    if access.kind == "explicit":
        known = access.resource is None or foreign is not None
        return Verdict("cross_tenant_attempt", "high" if known else "medium", foreign)
    if foreign is not None and access.kind == "succeeded":
        return Verdict("isolation_breach", "critical", foreign)
    if foreign is not None:
        return Verdict("cross_tenant_attempt", "high" if access.writes else "medium", foreign)
    if access.kind == "missed" and owner is None:
        return Verdict("not_found", "low")
    return None


def correct(access: Access, owner: UUID) -> Verdict | None:
    """What to say once the owner is known after all; None: the first judgement stands."""
    verdict = judge(access, owner)
    if verdict is None and access.kind == "missed":
        return Verdict("none", "low")
    return verdict


def is_write(method: str | None) -> bool:
    """Whether the HTTP method changes something; an event without a request does."""
    return method is None or method.upper() not in _READS


def kind_of(resource: str) -> Kind | None:
    """The kind of a well-formed TypeID text, or None for anything else."""
    prefix = resource.rpartition("_")[0]
    try:
        kind = Kind(prefix)
        parse(kind, resource)
    except ValueError:
        return None
    return kind


def may_be_born(resource: str) -> bool:
    """Whether an event may yet tell who owns `resource`."""
    return kind_of(resource) in BORN


def _born() -> frozenset[Kind]:
    """Kinds of resource whose births are told by events."""
    fields = [cls.model_fields[cls.SUBJECT] for cls in registry().values() if cls.LIFE == "birth"]
    told = {item.kind for field in fields for item in field.metadata if isinstance(item, TypeIdText)}
    return frozenset({*told, Kind.TENANT, Kind.USER, Kind.WORKSPACE})


BORN = _born()
