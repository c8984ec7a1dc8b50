"""Tables of the service."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Text, func
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from common.db.base import TenantRow, Timestamps


class CampaignRow(Timestamps, TenantRow):
    __tablename__ = "campaigns"

    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    from_name: Mapped[str | None] = mapped_column(Text)
    from_email: Mapped[str | None] = mapped_column(Text)
    reply_to: Mapped[str | None] = mapped_column(Text)
    template_id: Mapped[UUID | None]
    list_id: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(Text, server_default="draft")
    version: Mapped[int] = mapped_column(BigInteger, server_default=sql_text("1"))

    __table_args__ = ({"schema": "campaigns"},)
    __mapper_args__ = {"version_id_col": version, "eager_defaults": True}  # noqa: RUF012 - read by SQLAlchemy


class ContactRow(Timestamps, TenantRow):
    __tablename__ = "contacts"

    contact_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    email: Mapped[str] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=sql_text("'{}'"))
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql_text("'{}'"))
    status: Mapped[str] = mapped_column(Text, server_default="subscribed")
    version: Mapped[int] = mapped_column(BigInteger, server_default=sql_text("1"))

    __table_args__ = ({"schema": "campaigns"},)
    __mapper_args__ = {"version_id_col": version, "eager_defaults": True}  # noqa: RUF012 - read by SQLAlchemy


class ListRow(Timestamps, TenantRow):
    """The version also counts changes of who is in the list, so that its events are ordered."""

    __tablename__ = "lists"

    list_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger, server_default=sql_text("1"))

    __table_args__ = ({"schema": "campaigns"},)
    __mapper_args__ = {"version_id_col": version, "eager_defaults": True}  # noqa: RUF012 - read by SQLAlchemy


class ListContactRow(TenantRow):
    __tablename__ = "list_contacts"

    list_id: Mapped[UUID] = mapped_column(primary_key=True)
    contact_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    added_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = ({"schema": "campaigns"},)


class TemplateRow(Timestamps, TenantRow):
    __tablename__ = "templates"

    template_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    html: Mapped[str] = mapped_column(Text)
    text: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger, server_default=sql_text("1"))

    __table_args__ = ({"schema": "campaigns"},)
    __mapper_args__ = {"version_id_col": version, "eager_defaults": True}  # noqa: RUF012 - read by SQLAlchemy


class DomainRow(Timestamps, TenantRow):
    __tablename__ = "domains"

    domain_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    domain: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    ownership_token: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger, server_default=sql_text("1"))

    __table_args__ = ({"schema": "campaigns"},)
    __mapper_args__ = {"version_id_col": version, "eager_defaults": True}  # noqa: RUF012 - read by SQLAlchemy


class DkimKeyRow(TenantRow):
    """The key of a domain. The private half is encrypted, and read only where it is asked for by name."""

    __tablename__ = "dkim_keys"

    domain_id: Mapped[UUID] = mapped_column(primary_key=True)
    selector: Mapped[str] = mapped_column(Text)
    public_key: Mapped[str] = mapped_column(Text)
    private_key: Mapped[bytes] = mapped_column(deferred=True, deferred_raiseload=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = ({"schema": "campaigns"},)
