"""Pure rules of tokens: lifetimes and claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from common.ids import Kind, new_id, to_text

ACCESS_TOKEN_SECONDS = 900
REFRESH_TOKEN_LIFE = timedelta(days=30)
MAX_WORKSPACES = 50
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an access token speaks of."""

    tenant_id: UUID
    user_id: UUID
    session_id: UUID
    email: str
    role: str
    workspaces: Sequence[UUID]


def access_claims(subject: Subject, issued_at: datetime, issuer: str, audience: str) -> dict[str, Any]:
    """Claims of an access token (RFC 9068). `iat` has millisecond precision."""
    milliseconds = (issued_at - datetime(1970, 1, 1, tzinfo=UTC)) // _MILLISECOND
    seconds = milliseconds // 1000
    user_id = to_text(Kind.USER, subject.user_id)
    return {
        "iss": issuer,
        "aud": audience,
        "sub": user_id,
        "exp": seconds + ACCESS_TOKEN_SECONDS,
        "iat": milliseconds / 1000,
        "nbf": seconds,
        "jti": str(new_id()),
        "sid": to_text(Kind.SESSION, subject.session_id),
        "user_id": user_id,
        "tenant_id": to_text(Kind.TENANT, subject.tenant_id),
        "email": subject.email,
        "role": subject.role,
        "workspaces": [
            to_text(Kind.WORKSPACE, workspace) for workspace in subject.workspaces[:MAX_WORKSPACES]
        ],
    }


def whole_millisecond(moment: datetime) -> datetime:
    """The first whole millisecond at or after `moment`: a border that `iat` can be compared with."""
    rest = moment.microsecond % 1000
    return moment if rest == 0 else moment + timedelta(microseconds=1000 - rest)


def issue_time(now: datetime, valid_from: datetime | None) -> datetime:
    """When a new token counts as issued: never before its user's tokens are valid again."""
    return now if valid_from is None else max(now, valid_from)
