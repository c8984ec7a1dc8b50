"""Tables of the service."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Integer, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from common.db.base import TenantRow, Timestamps

_SCHEMA = {"schema": "auth"}


class UserRow(Timestamps, TenantRow):
    """`tokens_valid_from`: access tokens issued before are worthless."""

    __tablename__ = "users"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="active")
    password_hash: Mapped[str | None] = mapped_column(Text)
    password_set_at: Mapped[datetime | None]
    email_verified_at: Mapped[datetime | None]
    mfa_enabled: Mapped[bool] = mapped_column(server_default=text("false"))
    tokens_valid_from: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))

    __table_args__ = (_SCHEMA,)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy at class creation


class SessionRow(TenantRow):
    """One sign-in. Ended, it and its refresh tokens are worthless."""

    __tablename__ = "sessions"

    session_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    ip: Mapped[str] = mapped_column(Text)
    user_agent: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))

    __table_args__ = (_SCHEMA,)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy at class creation


class RefreshTokenRow(TenantRow):
    """One link of a session's chain of refresh tokens; spent ones stay to recognise their reuse."""

    __tablename__ = "refresh_tokens"

    token_id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID]
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime]
    spent_at: Mapped[datetime | None]
    successor_id: Mapped[UUID | None]

    __table_args__ = (_SCHEMA,)


class PasswordTokenRow(TenantRow):
    """The right to set one account's password once; its id is that of the mail that carries it."""

    __tablename__ = "password_tokens"

    token_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    purpose: Mapped[str] = mapped_column(Text)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

    __table_args__ = (_SCHEMA,)


class MailRow(TenantRow):
    """A mail on its way. `occasion` makes it unique; `claim` names who is sending it at the moment."""

    __tablename__ = "mails"

    mail_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    occasion: Mapped[str] = mapped_column(Text)
    user_id: Mapped[UUID | None]
    recipient: Mapped[str] = mapped_column(Text)
    recipient_name: Mapped[str] = mapped_column(Text)
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(Text, server_default="queued")
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    claim: Mapped[UUID | None]
    error: Mapped[str | None] = mapped_column(Text)
    traceparent: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    sent_at: Mapped[datetime | None]

    __table_args__ = (_SCHEMA,)


class InvitationRow(TenantRow):
    """An address that may become a user. `memberships`: workspace ids and roles as events have them."""

    __tablename__ = "invitations"

    invitation_id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    memberships: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    invited_by: Mapped[UUID]
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))

    __table_args__ = (_SCHEMA,)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class SigningKeyRow(TenantRow):
    """A key pair of the platform's tenant; `private_key` is encrypted."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(Text, primary_key=True)
    status: Mapped[str] = mapped_column(Text)
    public_jwk: Mapped[dict[str, str]] = mapped_column(JSONB)
    private_key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    activated_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]

    __table_args__ = (_SCHEMA,)


class AddressSaltRow(TenantRow):
    """Salt and parameters of all passwords of one e-mail address, whichever tenants it has accounts in."""

    __tablename__ = "address_salts"

    address_key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary)
    time_cost: Mapped[int] = mapped_column(Integer)
    memory_kib: Mapped[int] = mapped_column(Integer)
    parallelism: Mapped[int] = mapped_column(Integer)

    __table_args__ = (_SCHEMA,)


class OperatorRow(Timestamps, TenantRow):
    """An operator, of the platform's tenant. `totp_secret` is encrypted; `totp_step`: the last one used."""

    __tablename__ = "operators"

    operator_id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    totp_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_step: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    status: Mapped[str] = mapped_column(Text, server_default="active")
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))

    __table_args__ = (_SCHEMA,)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012
