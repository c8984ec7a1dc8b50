"""Idempotency keys: the stored answer stands in the same transaction as the change it answers.

While a request runs it holds an advisory lock of its transaction, so a parallel one with the same key is
told at once, and a killed one leaves nothing behind: neither lock, nor key, nor change.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from common.db.session import TenantSession
from common.errors import IdempotencyInProgress, IdempotencyKeyReused

LIFETIME_HOURS = 24

_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:scope, 0))")
_FORGET = text("""
DELETE FROM tenancy.idempotency_keys AS k USING (
    SELECT o.principal, o.route, o.key FROM tenancy.idempotency_keys AS o
    WHERE o.tenant_id = :tenant AND o.created_at < clock_timestamp() - make_interval(hours => :hours)
    ORDER BY o.created_at LIMIT 20 FOR UPDATE SKIP LOCKED
) AS outdated
WHERE k.tenant_id = :tenant AND k.principal = outdated.principal AND k.route = outdated.route
  AND k.key = outdated.key
""")
_FIND = text("""
SELECT request_hash, status, headers, body, roles FROM tenancy.idempotency_keys
WHERE tenant_id = :tenant AND principal = :principal AND route = :route AND key = :key
  AND created_at >= clock_timestamp() - make_interval(hours => :hours)
""")
_STORE = text("""
INSERT INTO tenancy.idempotency_keys
    (tenant_id, principal, route, key, request_hash, status, headers, body, roles)
VALUES (:tenant, :principal, :route, :key, :request_hash, :status, CAST(:headers AS jsonb), :body,
        CAST(:roles AS jsonb))
""")


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored 2xx answer, byte for byte; `roles`: what let its caller ask, by workspace."""

    status: int
    headers: dict[str, str]
    body: bytes
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with an idempotency key, within its tenant: whose it is, where, and what it asks."""

    principal: str
    route: str
    key: str
    request_hash: bytes

    @classmethod
    def of(cls, principal: str, route: str, key: str, *parts: bytes) -> "KeyedRequest":
        """`parts`: everything that makes two requests the same request."""
        digest = hashlib.sha256()
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return cls(principal, route, key, digest.digest())

    def _place(self) -> dict[str, Any]:
        return {"principal": self.principal, "route": self.route, "key": self.key}

    async def find_answer(self, session: TenantSession) -> Answer | None:
        """The stored answer; None takes the key for this transaction.

        Raises:
            IdempotencyInProgress: a request with this key is running.
            IdempotencyKeyReused: the key was used for another request.
        """
        tenant = session.tenant_id
        scope = f"idempotency|{tenant}|{self.principal}|{self.route}|{self.key}"
        if not await session.scalar(_LOCK, {"scope": scope}):
            raise IdempotencyInProgress
        await session.execute(_FORGET, {"tenant": tenant, "hours": LIFETIME_HOURS})
        row = (
            await session.execute(_FIND, {"tenant": tenant, "hours": LIFETIME_HOURS, **self._place()})
        ).one_or_none()
        if row is None:
            return None
        if row.request_hash != self.request_hash:
            raise IdempotencyKeyReused
        return Answer(row.status, row.headers, row.body, row.roles)

    async def store(self, session: TenantSession, answer: Answer) -> None:
        """Keep the answer, if the transaction commits.

        Raises:
            IdempotencyInProgress: another request took the key after this one had to let its transaction go.
        """
        values = {
            "status": answer.status,
            "headers": json.dumps(answer.headers),
            "body": answer.body,
            "roles": json.dumps(answer.roles),
        }
        try:
            place = {"tenant": session.tenant_id, **self._place()}
            await session.execute(_STORE, {**place, "request_hash": self.request_hash, **values})
        except IntegrityError as error:
            raise IdempotencyInProgress from error
