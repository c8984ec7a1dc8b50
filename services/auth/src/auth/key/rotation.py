"""A new signing key takes the place of the old one; in contexts of the platform's tenant."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from auth.key import pairs, queries
from auth.key.errors import RotationUnderWay
from auth.models import SigningKeyRow
from auth.token.rules import ACCESS_TOKEN_SECONDS
from common.bus import outbox
from common.contracts.auth import SigningKeyRotated
from common.db.session import TenantSession
from common.sealing import EncryptionKeys

log = logging.getLogger(__name__)

PUBLISHED_FIRST = timedelta(minutes=3)
"""Our processes read keys every ten seconds, gateways and services ours every minute, and a cache may lie
between them: by then everybody has the new key."""
LAST_TOKEN = timedelta(seconds=ACCESS_TOKEN_SECONDS + 60)


def new_key(status: Literal["published", "active"], encryption_keys: EncryptionKeys) -> SigningKeyRow:
    """A row that is not added to any session yet."""
    key = pairs.generate()
    sealed = pairs.seal(key, encryption_keys)
    return SigningKeyRow(kid=key.kid, status=status, public_jwk=key.public_jwk, private_key=sealed)


def is_over(row: SigningKeyRow, now: datetime) -> bool:
    """Whether the last token the key signed has expired."""
    return row.retired_at is not None and now - row.retired_at > LAST_TOKEN


async def rotate(
    session: TenantSession, encryption_keys: EncryptionKeys, now: datetime, *, leaked: bool
) -> SigningKeyRow:
    """Publish a new key, which signs after `PUBLISHED_FIRST`; keys whose tokens have expired are forgotten.

    With `leaked` it signs at once, and every other key is retired as if its tokens had expired.

    Raises:
        RotationUnderWay: a published key has not signed yet (and none has leaked).
    """
    await queries.lock_keys(session)
    known = await queries.list_keys(session)
    if not leaked and any(row.status == "published" for row in known):
        raise RotationUnderWay
    for row in known:
        if is_over(row, now):
            await session.delete(row)
        elif leaked:
            row.status, row.retired_at = "retired", now - LAST_TOKEN - timedelta(seconds=1)
    await session.flush()
    made = new_key("active" if leaked else "published", encryption_keys)
    made.activated_at = now if leaked else None
    session.add(made)
    await session.flush()
    await session.refresh(made)
    await outbox.emit(session, SigningKeyRotated(tenant_id=session.tenant_id, kid=made.kid, leaked=leaked))
    return made


async def promote(session: TenantSession, known: Sequence[SigningKeyRow], now: datetime) -> bool:
    """Let the published key sign once everybody has it; whether something was changed, here or elsewhere."""
    if not any(is_due(row, now) for row in known):
        return False
    await queries.lock_keys(session)
    rows = await queries.list_keys(session)
    due = [row for row in rows if is_due(row, now)]
    for row in rows if due else ():
        if row.status == "active":
            row.status, row.retired_at = "retired", now
    await session.flush()  # the one active key gives its place before the other takes it
    for row in due:
        row.status, row.activated_at = "active", now
        log.info("signing key takes over", extra={"fields": {"kid": row.kid}})
    await session.flush()
    return True


def is_due(row: SigningKeyRow, now: datetime) -> bool:
    """Whether everybody has the published key."""
    return row.status == "published" and now - row.created_at >= PUBLISHED_FIRST
