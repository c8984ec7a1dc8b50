"""Tables of the service."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Integer, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, column_property, mapped_column

from common.db.base import TenantRow, Timestamps

_SCHEMA = {"schema": "tenants"}


class CompanyRow(Timestamps, TenantRow):
    """A tenant. `settings` holds what was chosen; `settings_version` is the ETag of settings and limits.

    `suspensions` names each cause that keeps it suspended; it is suspended until the last of them is gone.
    """

    __tablename__ = "tenants"

    company_name: Mapped[str] = mapped_column(Text)
    plan: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="active")
    suspensions: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    owner_user_id: Mapped[UUID]
    default_workspace_id: Mapped[UUID]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    settings_version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    limit_overrides: Mapped[dict[str, int]] = mapped_column(JSONB, server_default="{}")
    feature_overrides: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))

    __table_args__ = (_SCHEMA,)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - read by SQLAlchemy at class creation


class ProvisioningRow(TenantRow):
    """One sign-up. Ready: its token would work everywhere; finished: every step is done."""

    __tablename__ = "provisionings"

    owner_email: Mapped[str] = mapped_column(Text)
    owner_name: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    ready_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (_SCHEMA,)


class StepRow(TenantRow):
    """One step of a sign-up."""

    __tablename__ = "provisioning_steps"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    place: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (_SCHEMA,)


class SubscriptionRow(Timestamps, TenantRow):
    """The tenant's customer and subscription at Stripe, and the keys with which they are asked for.

    `claim` names who is talking to Stripe about it until `next_attempt_at` (null: nobody will again, the
    tenant is being deleted); `look_again` that there is reason for another look after theirs.
    `first_asked_at`: before, nothing of the tenant can have been made there. `wanted_plan` is what the owner
    asked for and Stripe does not have yet. `suspend_at` is the end of the grace period of a tenant that has
    not paid; `problem` what stood in the last attempt's way.
    """

    __tablename__ = "subscriptions"

    plan: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    customer_key: Mapped[str] = mapped_column(Text)
    customer_id: Mapped[str | None] = mapped_column(Text)
    subscription_key: Mapped[str] = mapped_column(Text)
    subscription_id: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_attempt_at: Mapped[datetime | None] = mapped_column(server_default=func.clock_timestamp())
    claim: Mapped[UUID | None]
    first_asked_at: Mapped[datetime | None]
    wanted_plan: Mapped[str | None] = mapped_column(Text)
    wanted_by: Mapped[UUID | None]
    plan_key: Mapped[str | None] = mapped_column(Text)
    suspend_at: Mapped[datetime | None]
    look_again: Mapped[bool] = mapped_column(server_default=text("false"))
    problem: Mapped[str | None] = mapped_column(Text)
    traceparent: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (_SCHEMA,)


class CustomDomainRow(Timestamps, TenantRow):
    """The host name that the tenant's links are to have; used while `verified_at` says that DNS agrees, which
    is asked again at `next_check_at`."""

    __tablename__ = "custom_domains"

    domain: Mapped[str] = mapped_column(Text)
    verified_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]
    next_check_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    problem: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (_SCHEMA,)


class StripeEventRow(TenantRow):
    """An event that Stripe told of, of the platform's tenant; ids only, the rest is asked for again."""

    __tablename__ = "stripe_events"

    event_id: Mapped[str] = mapped_column(Text, primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    customer_id: Mapped[str | None] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    handled_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (_SCHEMA,)


class MonthlySendsRow(TenantRow):
    """How many e-mails the tenant has reserved in a month (its first day, UTC), as campaigns tells it."""

    __tablename__ = "monthly_sends"

    month: Mapped[date] = mapped_column(primary_key=True)
    reserved: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (_SCHEMA,)


class ReconciliationRow(TenantRow):
    """A comparison with Stripe; `claim` holds until `claimed_until`.

    Of all tenants, it is the platform's own: of one day (UTC), or, without `day`, ordered by an operator.
    Ordered for one tenant, it is that tenant's.
    """

    __tablename__ = "reconciliations"

    job_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    day: Mapped[date | None]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    dry_run: Mapped[bool] = mapped_column(server_default=text("false"))
    error: Mapped[str | None] = mapped_column(Text)
    claim: Mapped[UUID | None]
    claimed_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    finished_at: Mapped[datetime | None]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    counts: Mapped[dict[str, int] | None] = column_property(report["counts"], deferred=True)

    __table_args__ = (_SCHEMA,)


class SignUpKeyRow(TenantRow):
    """An Idempotency-Key of the public sign-up, of the platform's tenant; hashes and ids only."""

    __tablename__ = "sign_up_keys"

    key_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    new_tenant_id: Mapped[UUID]
    owner_user_id: Mapped[UUID]
    default_workspace_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (_SCHEMA,)


class DeletionRow(TenantRow):
    """A tenant's way out; it stays when the tenant is gone.

    Scheduled until `deleted_at`, and beyond recall from `begun_at`; `erased_at`: every service has erased it;
    certified when its events are past all retention, too. All times are the database's.

    `next_step_at`: not to be looked at before; `attempts` and `problem`: how often its present step was tried
    and what stood in its way the last time.
    """

    __tablename__ = "deletions"

    scheduled_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    erase_at: Mapped[datetime]
    begun_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]
    certified_at: Mapped[datetime | None]
    next_step_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    problem: Mapped[str | None] = mapped_column(Text)
    certificate: Mapped[dict[str, Any] | None] = mapped_column(JSONB)

    __table_args__ = (_SCHEMA,)


class ErasureReportRow(TenantRow):
    """What a service said when it had erased the tenant."""

    __tablename__ = "erasure_reports"

    service: Mapped[str] = mapped_column(Text, primary_key=True)
    report: Mapped[dict[str, Any]] = mapped_column(JSONB)
    reported_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (_SCHEMA,)


class ExportRow(TenantRow):
    """A copy of all that is the tenant's, on its way or there until `expires_at`.

    `next_step_at`: when to look at it again; infinity when nothing is left to do.
    """

    __tablename__ = "exports"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(Text, server_default="queued")
    requested_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    next_step_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))

    __table_args__ = (_SCHEMA,)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class ExportPartRow(TenantRow):
    """What a service said when its part of an export was written."""

    __tablename__ = "export_parts"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(Text, primary_key=True)
    resources: Mapped[dict[str, int]] = mapped_column(JSONB)
    written_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (_SCHEMA,)
