"""Reads of signing keys; in contexts of the platform's tenant."""

from collections.abc import Sequence

from sqlalchemy import select, text

from auth.models import SigningKeyRow
from common.db.session import TenantSession


async def lock_keys(session: TenantSession) -> None:
    """Let nobody else change the keys until the transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('auth.signing_keys', 0))"))


async def list_keys(session: TenantSession) -> Sequence[SigningKeyRow]:
    """All keys, oldest first."""
    return (await session.scalars(select(SigningKeyRow).order_by(SigningKeyRow.created_at))).all()
