"""What can be done with operators; in contexts of the platform's tenant."""

from datetime import datetime
from typing import Any
from uuid import UUID

import jwt

from auth.key.pairs import ALGORITHM, SigningKey
from auth.models import OperatorRow
from auth.operator import rules
from auth.operator.errors import OperatorExists
from auth.settings import AuthSettings
from common import clock
from common.bus import outbox
from common.contracts.auth import (
    OperatorClosed,
    OperatorCreated,
    OperatorLoggedIn,
    OperatorLoginFailed,
    OperatorTokensRevoked,
)
from common.db.lookup import flush_or_refuse
from common.db.session import TenantSession
from common.ids import new_id
from common.sealing import EncryptionKeys
from common.web.tokens import TYPE


async def create(
    session: TenantSession,
    email: str,
    name: str,
    password_hash: str,
    totp_secret: str | None,
    encryption_keys: EncryptionKeys,
) -> OperatorRow:
    """A new operator, who needs a code as well to log in when there is a `totp_secret`.

    Raises:
        OperatorExists: the address is taken.
    """
    row = OperatorRow(operator_id=new_id(), email=email, name=name, password_hash=password_hash)
    if totp_secret is not None:
        row.totp_secret = encryption_keys.seal(totp_secret.encode(), name_of_secret(row.operator_id))
    session.add(row)
    await flush_or_refuse(session, {"operators_email_key": OperatorExists})
    await outbox.emit(session, OperatorCreated(**_facts_of(row), mfa=totp_secret is not None))
    return row


async def close(session: TenantSession, row: OperatorRow) -> None:
    """Let the operator of the locked `row` log in no more; tokens already given end with the event."""
    if row.status == "closed":
        return
    row.status = "closed"
    await session.flush()
    await outbox.emit(session, OperatorClosed(**_facts_of(row)))
    await outbox.emit(session, OperatorTokensRevoked(**_facts_of(row), at=clock.now()))


def _facts_of(row: OperatorRow) -> dict[str, Any]:
    """What every event of the operator says."""
    return {"tenant_id": row.tenant_id, "operator_id": row.operator_id, "version": row.version}


def account_of(row: OperatorRow | None) -> rules.Account | None:
    """What of the operator decides about a log-in."""
    if row is None:
        return None
    return rules.Account(row.password_hash, row.status == "active", row.totp_secret is not None)


async def use_code(
    session: TenantSession, row: OperatorRow, code: str, now: datetime, encryption_keys: EncryptionKeys
) -> bool:
    """Whether the code is right for the locked `row`; it is used up then."""
    if row.status != "active" or row.totp_secret is None:
        return False
    secret = encryption_keys.unseal(row.totp_secret, name_of_secret(row.operator_id)).decode()
    step = rules.find_step(secret, code, now, row.totp_step)
    if step is None:
        return False
    row.totp_step = step
    await session.flush()
    return True


async def sign_in(session: TenantSession, row: OperatorRow, key: SigningKey, settings: AuthSettings) -> str:
    """An access token of the operator."""
    await outbox.emit(session, OperatorLoggedIn(**_facts_of(row)))
    claims = rules.access_claims(
        row.operator_id, row.email, clock.now(), settings.token_issuer, settings.platform_audience
    )
    return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid, "typ": TYPE})


async def tell_failure(
    session: TenantSession, row: OperatorRow | None, address_key: bytes | None, reason: rules.Refusal
) -> None:
    """Record a refused log-in."""
    event = OperatorLoginFailed(
        tenant_id=session.tenant_id,
        operator_id=row.operator_id if row else None,
        address_key=address_key.hex() if address_key else None,
        reason=reason,
    )
    await outbox.emit(session, event)


def name_of_secret(operator_id: UUID) -> str:
    """So that one operator's secret opens for no other, whoever copies it."""
    return f"totp of operator {operator_id}"
