"""Tables of the log as the API sees them: read only."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, SmallInteger, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from common.db.base import TenantRow

DRIFT = timedelta(days=1)
"""An event's time and the time in its id are less than this apart, so that an id tells its partitions."""


class EventRow(TenantRow):
    __tablename__ = "events"
    __table_args__ = ({"schema": "audit"},)

    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    recorded_at: Mapped[datetime]
    action: Mapped[str] = mapped_column(Text)
    actor_type: Mapped[str] = mapped_column(Text)
    actor_id: Mapped[str | None] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    ip: Mapped[str | None] = mapped_column(Text)
    user_agent: Mapped[str | None] = mapped_column(Text)
    target_type: Mapped[str | None] = mapped_column(Text)
    target_id: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text)
    method: Mapped[str | None] = mapped_column(Text)
    route: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    status: Mapped[int | None] = mapped_column(Integer)
    trace_id: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    changes: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class ContextRow(TenantRow):
    """The HTTP request behind a domain event."""

    __tablename__ = "action_contexts"
    __table_args__ = ({"schema": "audit"},)

    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(Text)
    ip: Mapped[str] = mapped_column(Text)
    user_agent: Mapped[str] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    route: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(Text)


class VerdictRow(TenantRow):
    """What was decided about an event; its highest revision counts."""

    __tablename__ = "verdicts"
    __table_args__ = ({"schema": "audit"},)

    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    flag: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[datetime]
