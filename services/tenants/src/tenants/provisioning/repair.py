"""Sign-ups that are stuck: what holds each step, and trying again; for operators, while everything runs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from common import clock
from common.bus import outbox
from common.contracts.tenants import ProvisioningResumed
from common.db.session import TenantSession
from tenants.billing.queries import schedule_unfinished
from tenants.models import StepRow
from tenants.provisioning import queries
from tenants.provisioning.rules import STEPS, is_stuck, overall_status
from tenants.provisioning.schemas import Diagnosis, ExplainedStep, SignUp, Step
from tenants.provisioning.service import lock_saga
from tenants.tenant.queries import lock_company

_ANNOUNCED: dict[str, str] = {"owner_account": "auth", "default_workspace": "workspaces"}
"""Steps that begin with the announcement, and who does them."""


def summarise(row: Any) -> SignUp:
    """A sign-up as `queries.find_sign_ups` reads it."""
    status = overall_status(row.steps)
    return SignUp(
        tenant_id=row.tenant_id,
        status=status,
        stuck=is_stuck(status, row.started_at, clock.now()),
        started_at=row.started_at,
        ready_at=row.ready_at,
        finished_at=row.finished_at,
        unfinished=[name for name in STEPS if row.steps.get(name) != "done"],
    )


async def diagnose(session: TenantSession, *, unpublished: bool | None = None) -> Diagnosis:
    """The tenant's sign-up with the reason for each step that is not done.

    `unpublished`: its announcement is still in the outbox; None where nobody may look there.

    Raises:
        NotFound: there was none.
    """
    row = await queries.get_provisioning(session)
    steps = await queries.list_steps(session)
    status = overall_status({step.name: step.status for step in steps})
    return Diagnosis(
        tenant_id=session.tenant_id,
        status=status,
        stuck=is_stuck(status, row.started_at, clock.now()),
        started_at=row.started_at,
        ready_at=row.ready_at,
        steps=[_explained(step, steps, unpublished) for step in steps],
    )


def _explained(step: StepRow, steps: Sequence[StepRow], unpublished: bool | None) -> ExplainedStep:
    reason = None if step.status == "done" else _explain(step, steps, unpublished, clock.now())
    told = Step.model_validate(step)
    return ExplainedStep(**dict(told), next_attempt_at=step.next_attempt_at, explanation=reason)


def _explain(step: StepRow, steps: Sequence[StepRow], unpublished: bool | None, now: datetime) -> str:
    """Why the step is not done, for people who can do something about it."""
    if step.status == "failed":
        return "given up after that error: remove its cause, then resume"
    if step.error and step.next_attempt_at and step.next_attempt_at > now:
        return "the last attempt failed; there will be another by itself"
    if step.name in _ANNOUNCED:
        return _explain_announced(_ANNOUNCED[step.name], unpublished)
    if step.name == "welcome_mail":
        account = next(other for other in steps if other.name == "owner_account")
        return "auth has it in its queue" if account.status == "done" else "waits for owner_account"
    return "an attempt is under way or about to begin"


def _explain_announced(service: str, unpublished: bool | None) -> str:
    if unpublished:
        return "TenantProvisioned is not published yet: no relay of tenants, or no broker"
    told = f"{service} has not answered TenantProvisioned: it is away, behind, or has a dead letter"
    return told if unpublished is False else f"{told}; or that is not published yet"


async def resume(session: TenantSession) -> tuple[str, ...]:
    """Have every unfinished step tried now that is ours or waits for its next attempt, on the word of the
    session's operator; the names of all that are unfinished. Those that wait for another service's answer go
    on with a replay of its events.

    Raises:
        NotFound: the tenant did not sign up here.
    """
    await queries.get_provisioning(session)
    company = await lock_company(session)
    saga = await lock_saga(session)
    unfinished = tuple(name for name in STEPS if saga is not None and saga.is_open(name))
    if saga is None or not unfinished:
        return ()
    for name in unfinished:
        if saga.steps[name].status == "failed":
            saga.steps[name].status = "running"
    if "billing" in unfinished:
        await schedule_unfinished(session)
    event = ProvisioningResumed(tenant_id=session.tenant_id, version=company.version, steps=unfinished)
    await outbox.emit(session, event)
    return unfinished
