"""Tables of the service."""

from uuid import UUID

from sqlalchemy import BigInteger, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from common.db.base import TenantRow, Timestamps


class WorkspaceRow(Timestamps, TenantRow):
    __tablename__ = "workspaces"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    slug: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, server_default="")
    status: Mapped[str] = mapped_column(Text, server_default="active")
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))

    __table_args__ = ({"schema": "workspaces"},)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy at class creation


class MemberRow(Timestamps, TenantRow):
    __tablename__ = "members"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    role: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))

    __table_args__ = ({"schema": "workspaces"},)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012
